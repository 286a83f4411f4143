//! Whole databases, made and dropped by URL, as for sqlx's own drivers.

use sqlx_core::Error;
use sqlx_core::connection::ConnectOptions;
use sqlx_core::executor::Executor;
use sqlx_core::migrate::{MigrateDatabase, MigrateError};
use sqlx_core::query_scalar::query_scalar;
use sqlx_core::sql_str::AssertSqlSafe;

use super::sql::Dialect;
use super::{DataApi, DataApiConnectOptions, DataApiConnection, DataApiEngine};
use crate::error::ConfigError;

/// A connection beside the database of a URL, and its name.
async fn beside<E: DataApiEngine>(url: &str) -> Result<(DataApiConnection<E>, String), Error> {
    let mut options: DataApiConnectOptions<E> = url.parse()?;
    let Some(name) = options.target.database.take() else {
        return Err(ConfigError::Url {
            reason: "it names no database; write `rds-data://CLUSTER_ARN/DATABASE?secret-arn=..`"
                .to_owned(),
        }
        .into());
    };
    options.target.database = match E::DIALECT {
        // As `createdb` chooses.
        Dialect::Postgres if name == "postgres" => Some("template1".to_owned()),
        Dialect::Postgres => Some("postgres".to_owned()),
        Dialect::MySql => None,
    };
    Ok((options.connect().await?, name))
}

/// Runs a statement that ends with the database's name, and with what comes behind it.
async fn run<E: DataApiEngine>(url: &str, start: &str, end: &str) -> Result<(), Error> {
    let (mut connection, name) = beside::<E>(url).await?;
    let name = match E::DIALECT {
        Dialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        Dialect::MySql => format!("`{}`", name.replace('`', "``")),
    };
    let sql = format!("{start} {name}{end}");
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

/// PostgreSQL is asked in the database `postgres`, or in `template1` about that one.
impl<E: DataApiEngine> MigrateDatabase for DataApi<E> {
    async fn create_database(url: &str) -> Result<(), Error> {
        run::<E>(url, "CREATE DATABASE", "").await
    }

    async fn database_exists(url: &str) -> Result<bool, Error> {
        let (mut connection, name) = beside::<E>(url).await?;
        let sql = match E::DIALECT {
            Dialect::Postgres => "SELECT count(*) FROM pg_database WHERE datname = $1",
            Dialect::MySql => {
                "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?"
            }
        };
        let found: i64 = query_scalar(sql)
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        Ok(found > 0)
    }

    async fn drop_database(url: &str) -> Result<(), Error> {
        run::<E>(url, "DROP DATABASE IF EXISTS", "").await
    }

    /// On PostgreSQL ends the sessions that are in it, the service's own among them.
    async fn force_drop_database(url: &str) -> Result<(), Error> {
        match E::DIALECT {
            Dialect::Postgres => run::<E>(url, "DROP DATABASE IF EXISTS", " WITH (FORCE)").await,
            Dialect::MySql => Err(MigrateError::ForceNotSupported.into()),
        }
    }
}
