//! Migrations: `migrate!().run(&pool)` works, on the table that sqlx's own drivers keep.

use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use sqlx_core::arguments::Arguments;
use sqlx_core::connection::Connection;
use sqlx_core::error::Error;
use sqlx_core::executor::Executor;
use sqlx_core::migrate::{AppliedMigration, Migrate, MigrateError, Migration};
use sqlx_core::query::{query, query_with};
use sqlx_core::row::Row;
use sqlx_core::sql_str::AssertSqlSafe;

use super::sql::Dialect;
use super::{DataApiArguments, DataApiConnection, DataApiEngine, DataApiRow};

impl<E: DataApiEngine> DataApiConnection<E> {
    async fn migrate(&mut self, sql: String) -> Result<(), MigrateError> {
        self.execute(AssertSqlSafe(sql)).await?;
        Ok(())
    }

    /// The number of the first placeholder's place, and so on.
    fn places(count: usize) -> String {
        let place = |number| match E::DIALECT {
            Dialect::Postgres => format!("${number}"),
            Dialect::MySql => "?".to_owned(),
        };
        let places: Vec<_> = (1..=count).map(place).collect();
        places.join(", ")
    }

    async fn note_migration(
        &mut self,
        table_name: &str,
        migration: &Migration,
        success: bool,
    ) -> Result<(), MigrateError> {
        let sql = format!(
            "INSERT INTO {table_name} (version, description, success, checksum, execution_time) \
             VALUES ({})",
            Self::places(5)
        );
        let mut arguments = DataApiArguments::<E>::default();
        let added = arguments
            .add(migration.version)
            .and_then(|()| arguments.add(&*migration.description))
            .and_then(|()| arguments.add(success))
            .and_then(|()| arguments.add(&*migration.checksum))
            .and_then(|()| arguments.add(-1_i64));
        added.map_err(Error::Encode)?;
        query_with(AssertSqlSafe(sql), arguments)
            .execute(&mut *self)
            .await?;
        Ok(())
    }

    /// Statement by statement, since the service takes one at a time.
    async fn run_migration(&mut self, migration: &Migration) -> Result<(), MigrateError> {
        let sql = migration.sql.clone();
        let result = async {
            self.flush_rollback().await?;
            self.run_statements(sql, true).await
        };
        result
            .await
            .map(drop)
            .map_err(|error| MigrateError::ExecuteMigration(error, migration.version))
    }

    async fn set_success(
        &mut self,
        table_name: &str,
        version: i64,
        success: bool,
    ) -> Result<(), MigrateError> {
        self.migrate(format!(
            "UPDATE {table_name} SET success = {success} WHERE version = {version}"
        ))
        .await
    }

    async fn apply_with_lock(
        &mut self,
        table_name: &str,
        migration: &Migration,
    ) -> Result<Duration, MigrateError> {
        let started = Instant::now();
        if runs_outside::<E>(migration) {
            self.apply_and_note(table_name, migration).await?;
        } else {
            let mut transaction = self.begin().await?;
            transaction.apply_and_note(table_name, migration).await?;
            transaction.commit().await?;
        }
        let elapsed = started.elapsed();
        let (nanos, version) = (elapsed.as_nanos(), migration.version);
        self.migrate(format!(
            "UPDATE {table_name} SET execution_time = {nanos} WHERE version = {version}"
        ))
        .await?;
        Ok(elapsed)
    }

    async fn apply_and_note(
        &mut self,
        table_name: &str,
        migration: &Migration,
    ) -> Result<(), MigrateError> {
        match E::DIALECT {
            Dialect::Postgres => {
                self.run_migration(migration).await?;
                self.note_migration(table_name, migration, true).await
            }
            Dialect::MySql => {
                self.note_migration(table_name, migration, false).await?;
                self.run_migration(migration).await?;
                self.set_success(table_name, migration.version, true).await
            }
        }
    }

    async fn revert_with_lock(
        &mut self,
        table_name: &str,
        migration: &Migration,
    ) -> Result<Duration, MigrateError> {
        let started = Instant::now();
        if runs_outside::<E>(migration) {
            self.revert_and_forget(table_name, migration).await?;
        } else {
            let mut transaction = self.begin().await?;
            transaction.revert_and_forget(table_name, migration).await?;
            transaction.commit().await?;
        }
        Ok(started.elapsed())
    }

    async fn revert_and_forget(
        &mut self,
        table_name: &str,
        migration: &Migration,
    ) -> Result<(), MigrateError> {
        let version = migration.version;
        if E::DIALECT == Dialect::MySql {
            self.set_success(table_name, version, false).await?;
        }
        self.run_migration(migration).await?;
        self.migrate(format!(
            "DELETE FROM {table_name} WHERE version = {version}"
        ))
        .await
    }
}

/// MySQL needs a session for whatever it runs, and has no statement that refuses a transaction.
fn runs_outside<E: DataApiEngine>(migration: &Migration) -> bool {
    migration.no_tx && E::DIALECT == Dialect::Postgres
}

impl<E: DataApiEngine> Migrate for DataApiConnection<E> {
    fn create_schema_if_not_exists<'e>(
        &'e mut self,
        schema_name: &'e str,
    ) -> BoxFuture<'e, Result<(), MigrateError>> {
        Box::pin(self.migrate(format!("CREATE SCHEMA IF NOT EXISTS {schema_name}")))
    }

    fn ensure_migrations_table<'e>(
        &'e mut self,
        table_name: &'e str,
    ) -> BoxFuture<'e, Result<(), MigrateError>> {
        let (moment, bytes) = match E::DIALECT {
            Dialect::Postgres => ("TIMESTAMPTZ NOT NULL DEFAULT now()", "BYTEA"),
            Dialect::MySql => ("TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP", "BLOB"),
        };
        Box::pin(self.migrate(format!(
            "CREATE TABLE IF NOT EXISTS {table_name} (\
                version BIGINT PRIMARY KEY, \
                description TEXT NOT NULL, \
                installed_on {moment}, \
                success BOOLEAN NOT NULL, \
                checksum {bytes} NOT NULL, \
                execution_time BIGINT NOT NULL)"
        )))
    }

    fn dirty_version<'e>(
        &'e mut self,
        table_name: &'e str,
    ) -> BoxFuture<'e, Result<Option<i64>, MigrateError>> {
        Box::pin(async move {
            let sql = format!(
                "SELECT version FROM {table_name} WHERE success = false ORDER BY version LIMIT 1"
            );
            let row = query(AssertSqlSafe(sql)).fetch_optional(&mut *self).await?;
            Ok(row
                .map(|row: DataApiRow<E>| row.try_get::<i64, _>(0))
                .transpose()?)
        })
    }

    fn list_applied_migrations<'e>(
        &'e mut self,
        table_name: &'e str,
    ) -> BoxFuture<'e, Result<Vec<AppliedMigration>, MigrateError>> {
        Box::pin(async move {
            let sql = format!("SELECT version, checksum FROM {table_name} ORDER BY version");
            let rows = query(AssertSqlSafe(sql)).fetch_all(&mut *self).await?;
            let applied = rows.iter().map(|row: &DataApiRow<E>| {
                Ok(AppliedMigration {
                    version: row.try_get(0)?,
                    checksum: row.try_get::<Vec<u8>, _>(1)?.into(),
                })
            });
            applied.collect()
        })
    }

    /// A lock of a session would end with the request: it is one of a transaction that is kept
    /// open beside the migrations, and asked for again until it is free.
    fn lock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        Box::pin(async move { Ok(self.take_lock().await?) })
    }

    fn unlock(&mut self) -> BoxFuture<'_, Result<(), MigrateError>> {
        Box::pin(async move { Ok(self.end_lock().await?) })
    }

    /// In one transaction with its entry, so that it is done whole or not at all. On MySQL, whose DDL
    /// commits by itself, the entry says at first that it has not succeeded.
    fn apply<'e>(
        &'e mut self,
        table_name: &'e str,
        migration: &'e Migration,
    ) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(async move {
            let applied = self.apply_with_lock(table_name, migration).await;
            self.or_end_lock(applied).await
        })
    }

    fn revert<'e>(
        &'e mut self,
        table_name: &'e str,
        migration: &'e Migration,
    ) -> BoxFuture<'e, Result<Duration, MigrateError>> {
        Box::pin(async move {
            let reverted = self.revert_with_lock(table_name, migration).await;
            self.or_end_lock(reverted).await
        })
    }

    fn skip<'e>(
        &'e mut self,
        table_name: &'e str,
        migration: &'e Migration,
    ) -> BoxFuture<'e, Result<(), MigrateError>> {
        Box::pin(self.note_migration(table_name, migration, true))
    }
}
