//! Idempotency keys in PostgreSQL.

/// Written out for each of the drivers that lead there: what they can bind and read is told by
/// types, and generic code would have to repeat all of it.
macro_rules! keys_of_postgres {
    ($database:ty, $row:ty) => {
        use sqlx::{
            AssertSqlSafe, Database, Error, Executor, FromRow, Row, query, query_as, raw_sql,
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

        impl Keys for $database {
            fn table_of_keys(table: &str, lockless: bool) -> Vec<String> {
                let mut statements = vec![format!(
                    "CREATE TABLE IF NOT EXISTS {table} (\
                        idempotency_key varchar(255) PRIMARY KEY, \
                        fingerprint bytea, \
                        result text, \
                        expires_at timestamptz NOT NULL)"
                )];
                // Aurora DSQL makes indexes by `CREATE INDEX ASYNC` only, which no other server knows.
                if !lockless {
                    let name = table.rsplit('.').next().unwrap_or(table);
                    statements.push(format!(
                        "CREATE INDEX IF NOT EXISTS {name}_expires_at ON {table} (expires_at)"
                    ));
                }
                statements
            }

            async fn create(connection: &mut <$database as Database>::Connection, statement: String) -> Result<(), Error> {
                let created = raw_sql(AssertSqlSafe(statement));
                connection.execute(created).await.map(drop)
            }

            const ASKS_WHETHER_BUSY: bool = false;

            async fn is_busy(_: &mut <$database as Database>::Connection, _: &str, _: &str) -> Result<bool, Error> {
                Ok(false)
            }

            /// `ON CONFLICT` waits for a transaction that has the key, and sees what it committed. Who
            /// must not wait asks for an advisory lock first, and everybody takes it for that. It ends
            /// with the transaction, so that an RDS Proxy does not pin for it.
            async fn claim(connection: &mut <$database as Database>::Connection, claim: Claim<'_>) -> Result<bool, Error> {
                let table = claim.table;
                let (keys, fingerprints): (Vec<_>, Vec<_>) = claim.keys.iter().copied().unzip();
                let lock = format!("hashtextextended('{table} ' || key, 0)");
                let once_it_is_ours = match (claim.lockless, claim.waits) {
                    (true, _) => String::new(),
                    (false, true) => format!("WHERE pg_advisory_xact_lock({lock}) IS NOT NULL"),
                    (false, false) => format!("WHERE pg_try_advisory_xact_lock({lock})"),
                };
                let claimed = query(AssertSqlSafe(format!(
                    "INSERT INTO {table} AS old (idempotency_key, fingerprint, expires_at) \
                     SELECT key, mark, now() + $3 * interval '1 microsecond' \
                     FROM unnest($1::text[], $2::bytea[]) AS claimed (key, mark) {once_it_is_ours} \
                     ON CONFLICT (idempotency_key) DO UPDATE SET \
                        fingerprint = excluded.fingerprint, result = NULL, \
                        expires_at = excluded.expires_at \
                     WHERE old.expires_at <= now()"
                )))
                .bind(keys)
                .bind(fingerprints)
                .bind(claim.ttl_in_micros())
                .execute(connection)
                .await?;
                Ok(claimed.rows_affected() == claim.keys.len() as u64)
            }

            async fn known(
                connection: &mut <$database as Database>::Connection,
                table: &str,
                keys: &[&str],
            ) -> Result<Vec<Record>, Error> {
                query_as(AssertSqlSafe(format!(
                    "SELECT idempotency_key, fingerprint, result FROM {table} \
                     WHERE idempotency_key = ANY($1) AND expires_at > now()"
                )))
                .bind(keys)
                .fetch_all(connection)
                .await
            }

            async fn keep(
                connection: &mut <$database as Database>::Connection,
                table: &str,
                keys: &[&str],
                result: &str,
            ) -> Result<bool, Error> {
                let kept = query(AssertSqlSafe(format!(
                    "UPDATE {table} SET result = $2 WHERE idempotency_key = ANY($1)"
                )))
                .bind(keys)
                .bind(result)
                .execute(connection)
                .await?;
                Ok(kept.rows_affected() == keys.len() as u64)
            }

            async fn purge(connection: &mut <$database as Database>::Connection, table: &str, limit: u32) -> Result<u64, Error> {
                query(AssertSqlSafe(format!(
                    "DELETE FROM {table} WHERE expires_at <= now() AND idempotency_key IN (\
                        SELECT idempotency_key FROM {table} WHERE expires_at <= now() LIMIT $1)"
                )))
                .bind(i64::from(limit))
                .execute(connection)
                .await
                .map(|deleted| deleted.rows_affected())
            }
        }
    };
}

#[cfg(all(feature = "data-api", feature = "idempotency"))]
pub(crate) use keys_of_postgres;

#[cfg(feature = "postgres")]
mod by_sqlx {
    use sqlx::Postgres;
    use sqlx::postgres::PgRow;

    keys_of_postgres!(Postgres, PgRow);
}
