//! Idempotency keys in MySQL and MariaDB.

/// Written out for each of the drivers that lead there, as in PostgreSQL. They differ in how they
/// tell the `number` of an error, and the `insert_id` of a statement.
macro_rules! keys_of_mysql {
    ($database:ty, $row:ty, $number:path, $insert_id:path) => {
        use sqlx::{
            AssertSqlSafe, Database, Error, Executor, FromRow, QueryBuilder, Row, query, raw_sql,
        };
        use $crate::engine::keys::{Claim, Keys, Record};

        impl FromRow<'_, $row> for Record {
            fn from_row(row: &$row) -> Result<Self, Error> {
                Ok(Self {
                    key: row.try_get(0)?,
                    fingerprint: row.try_get(1)?,
                    result: row.try_get(2)?,
                })
            }
        }

        /// Adds `(?, ?, ..)`.
        fn push_keys(builder: &mut QueryBuilder<$database>, keys: &[&str]) {
            builder.push("(");
            let mut list = builder.separated(", ");
            for key in keys {
                list.push_bind((*key).to_owned());
            }
            builder.push(")");
        }

        impl Keys for $database {
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

            async fn create(connection: &mut <$database as Database>::Connection, statement: String) -> Result<(), Error> {
                let created = raw_sql(AssertSqlSafe(statement));
                connection.execute(created).await.map(drop)
            }

            const ASKS_WHETHER_BUSY: bool = true;

            /// Alone, outside of any transaction: its lock on the gap where a key is not would let
            /// other keys wait.
            async fn is_busy(
                connection: &mut <$database as Database>::Connection,
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
                    // MySQL's number, and MariaDB's.
                    Err(Error::Database(error)) if matches!($number(&*error), Some(3572 | 1205)) => Ok(true),
                    Err(error) => Err(error),
                }
            }

            /// `INSERT` waits for a transaction that has the key. `ON DUPLICATE KEY` gives it an
            /// exclusive lock then, where `IGNORE` gives a shared one, with which waiters deadlock. How
            /// many rows it affects does not tell a new key from an old one, so one that still counts is
            /// told as an insert id, which is 0 until then. Assignments are made in order, so the expiry
            /// is the last.
            async fn claim(connection: &mut <$database as Database>::Connection, claim: Claim<'_>) -> Result<bool, Error> {
                const COUNTS: &str = "expires_at > UTC_TIMESTAMP(6)";
                let ttl = claim.ttl_in_micros();
                let mut insert = QueryBuilder::new(format!(
                    "INSERT INTO {} (idempotency_key, fingerprint, expires_at) ",
                    claim.table
                ));
                let mut reset = " + LAST_INSERT_ID(0)";
                insert.push_values(claim.keys, |mut row, (key, fingerprint)| {
                    let reset = std::mem::take(&mut reset);
                    row.push_bind((*key).to_owned())
                        .push_bind(fingerprint.map(<[u8]>::to_vec))
                        .push(format!("UTC_TIMESTAMP(6) + INTERVAL {ttl}{reset} MICROSECOND"));
                });
                insert.push(format!(
                    " ON DUPLICATE KEY UPDATE \
                     fingerprint = IF({COUNTS}, fingerprint, VALUES(fingerprint)), \
                     result = IF({COUNTS}, IF(LAST_INSERT_ID(1), result, result), NULL), \
                     expires_at = IF({COUNTS}, expires_at, VALUES(expires_at))"
                ));
                let insert = insert.build().persistent(claim.keys.len() == 1);
                let inserted = insert.execute(&mut *connection).await?;
                Ok($insert_id(connection, inserted).await? == 0)
            }

            async fn known(
                connection: &mut <$database as Database>::Connection,
                table: &str,
                keys: &[&str],
            ) -> Result<Vec<Record>, Error> {
                let mut select = QueryBuilder::new(format!(
                    "SELECT idempotency_key, fingerprint, result FROM {table} WHERE idempotency_key IN "
                ));
                push_keys(&mut select, keys);
                select.push(" AND expires_at > UTC_TIMESTAMP(6)");
                // A text for each number of keys would push the app's own statements out of the cache.
                let select = select.build_query_as().persistent(keys.len() == 1);
                select.fetch_all(connection).await
            }

            async fn keep(
                connection: &mut <$database as Database>::Connection,
                table: &str,
                keys: &[&str],
                result: &str,
            ) -> Result<bool, Error> {
                let mut update = QueryBuilder::new(format!("UPDATE {table} SET result = "));
                update.push_bind(result.to_owned());
                update.push(" WHERE idempotency_key IN ");
                push_keys(&mut update, keys);
                let update = update.build().persistent(keys.len() == 1);
                let updated = update.execute(connection).await?.rows_affected();
                Ok(updated == keys.len() as u64)
            }

            async fn purge(
                connection: &mut <$database as Database>::Connection,
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
    };
}

#[cfg(all(feature = "data-api", feature = "idempotency"))]
pub(crate) use keys_of_mysql;

#[cfg(feature = "mysql")]
mod by_sqlx {
    use std::future::{Ready, ready};

    use sqlx::error::DatabaseError;
    use sqlx::mysql::{MySqlDatabaseError, MySqlQueryResult, MySqlRow};
    use sqlx::{MySql, MySqlConnection};

    fn number(error: &dyn DatabaseError) -> Option<u16> {
        let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
        Some(error.number())
    }

    fn insert_id(_: &mut MySqlConnection, inserted: MySqlQueryResult) -> Ready<Result<u64, Error>> {
        ready(Ok(inserted.last_insert_id()))
    }

    keys_of_mysql!(MySql, MySqlRow, number, insert_id);
}
