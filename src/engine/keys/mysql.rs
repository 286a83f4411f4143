//! Idempotency keys in MySQL and MariaDB.

use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{
    AssertSqlSafe, Error, Executor, FromRow, MySql, MySqlConnection, QueryBuilder, Row, query,
    raw_sql,
};

use super::{Claim, Duration, Keys, Record, micros};

impl FromRow<'_, MySqlRow> for Record {
    fn from_row(row: &MySqlRow) -> Result<Self, Error> {
        Ok(Self {
            key: row.try_get(0)?,
            fingerprint: row.try_get(1)?,
            result: row.try_get(2)?,
            has_expired: row.try_get(3)?,
        })
    }
}

/// Adds `(?, ?, ..)`.
fn push_keys(builder: &mut QueryBuilder<MySql>, keys: &[&str]) {
    builder.push("(");
    let mut list = builder.separated(", ");
    for key in keys {
        list.push_bind((*key).to_owned());
    }
    builder.push(")");
}

fn expiry(ttl: Duration) -> String {
    format!("UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND", micros(ttl))
}

impl Keys for MySql {
    /// Keys are compared byte by byte.
    fn table_of_keys(table: &str, _: bool) -> Vec<String> {
        vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} (\
                idempotency_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin \
                    NOT NULL PRIMARY KEY, \
                fingerprint varbinary(32), \
                result mediumtext CHARACTER SET utf8mb4, \
                expires_at datetime(6) NOT NULL, \
                INDEX (expires_at)\
             ) ENGINE = InnoDB"
        )]
    }

    async fn create(connection: &mut MySqlConnection, statement: String) -> Result<(), Error> {
        let created = raw_sql(AssertSqlSafe(statement));
        connection.execute(created).await.map(drop)
    }

    const ASKS_WHETHER_BUSY: bool = true;

    /// Alone, outside of any transaction: its lock on the gap where a key is not would let
    /// other keys wait.
    async fn is_busy(
        connection: &mut MySqlConnection,
        table: &str,
        key: &str,
    ) -> Result<bool, Error> {
        let asked = query(AssertSqlSafe(format!(
            "SELECT 1 FROM {table} WHERE idempotency_key = ? FOR UPDATE NOWAIT"
        )))
        .bind(key)
        .fetch_optional(connection)
        .await;
        match asked {
            Ok(_) => Ok(false),
            Err(Error::Database(error)) => {
                let error = error.downcast::<MySqlDatabaseError>();
                // MySQL's number, and MariaDB's.
                if matches!(error.number(), 3572 | 1205) {
                    Ok(true)
                } else {
                    Err(Error::Database(error))
                }
            }
            Err(error) => Err(error),
        }
    }

    /// `INSERT` waits for a transaction that has the key. `ON DUPLICATE KEY` gives it an
    /// exclusive lock then, where `IGNORE` gives a shared one, with which waiters deadlock. How
    /// many rows it affects does not tell a new key from an old one, so an old one is counted
    /// as an insert id.
    async fn claim(connection: &mut MySqlConnection, claim: Claim<'_>) -> Result<bool, Error> {
        let mut insert = QueryBuilder::new(format!(
            "INSERT INTO {} (idempotency_key, fingerprint, result, expires_at) ",
            claim.table
        ));
        let expiry = expiry(claim.ttl);
        insert.push_values(claim.keys, |mut row, key| {
            row.push_bind((*key).to_owned())
                .push_bind(claim.fingerprint.map(<[u8]>::to_vec))
                .push_bind(claim.result.map(str::to_owned))
                .push(&expiry);
        });
        insert.push(" ON DUPLICATE KEY UPDATE result = IF(LAST_INSERT_ID(1), result, result)");
        let inserted = insert.build().execute(connection).await?;
        Ok(inserted.last_insert_id() == 0)
    }

    async fn forget_expired(
        connection: &mut MySqlConnection,
        table: &str,
        keys: &[&str],
    ) -> Result<(), Error> {
        let mut delete =
            QueryBuilder::new(format!("DELETE FROM {table} WHERE idempotency_key IN "));
        push_keys(&mut delete, keys);
        delete.push(" AND expires_at <= UTC_TIMESTAMP(6)");
        delete.build().execute(connection).await.map(drop)
    }

    async fn known(
        connection: &mut MySqlConnection,
        table: &str,
        keys: &[&str],
    ) -> Result<Vec<Record>, Error> {
        let mut select = QueryBuilder::new(format!(
            "SELECT idempotency_key, fingerprint, result, expires_at <= UTC_TIMESTAMP(6) \
             FROM {table} WHERE idempotency_key IN "
        ));
        push_keys(&mut select, keys);
        select.build_query_as().fetch_all(connection).await
    }

    async fn keep(
        connection: &mut MySqlConnection,
        table: &str,
        key: &str,
        result: &str,
    ) -> Result<bool, Error> {
        let kept = query(AssertSqlSafe(format!(
            "UPDATE {table} SET result = ? WHERE idempotency_key = ?"
        )))
        .bind(result)
        .bind(key)
        .execute(connection)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    async fn purge(
        connection: &mut MySqlConnection,
        table: &str,
        limit: u32,
    ) -> Result<u64, Error> {
        query(AssertSqlSafe(format!(
            "DELETE FROM {table} WHERE expires_at <= UTC_TIMESTAMP(6) LIMIT {limit}"
        )))
        .execute(connection)
        .await
        .map(|deleted| deleted.rows_affected())
    }
}
