//! The table that keys are kept in.

use sqlx::Error;

use super::{Idempotency, OncePool};
use crate::engine::keys::Keys;
use crate::error::ConfigError;

/// How many keys are deleted in one transaction.
const BATCH: u32 = 1_000;

impl Idempotency {
    /// Creates the table where there is none. Whoever connects must be allowed to.
    ///
    /// Where migrations make the tables, take [`migration`](Self::migration) into them instead.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::begin`](crate::Pool::begin) and of the statements.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: some of it may have been created, and the next call does the rest.
    pub async fn create_table<P: OncePool>(&self, pool: &P) -> Result<(), Error> {
        for statement in P::Database::table_of_keys(&self.table, pool.is_lockless()) {
            let mut transaction = pool.begin().await?;
            let created = P::Database::create(&mut transaction, statement.clone()).await;
            if created.is_ok() {
                transaction.commit().await?;
                continue;
            }
            transaction.rollback().await?;
            // `IF NOT EXISTS` fails in PostgreSQL where two create it at once: now it is there.
            let mut transaction = pool.begin().await?;
            P::Database::create(&mut transaction, statement).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// The SQL that creates the table, for a migration of one's own.
    ///
    /// ```
    /// # #[cfg(feature = "postgres")] {
    /// let sql = sqlx_rds::Idempotency::new().migration::<sqlx::Postgres>();
    /// assert!(sql.starts_with("CREATE TABLE IF NOT EXISTS idempotency_keys ("));
    /// # }
    /// ```
    #[must_use]
    pub fn migration<DB: Keys>(&self) -> String {
        DB::table_of_keys(&self.table, false).join(";\n") + ";\n"
    }

    /// Deletes keys that have expired, a thousand at a time, and says how many.
    ///
    /// An expired key does no harm but takes room; call this once an hour or a day, as from a
    /// scheduled function.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::begin`](crate::Pool::begin) and of the statements.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was deleted stays so.
    pub async fn delete_expired<P: OncePool>(&self, pool: &P) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            let mut transaction = pool.begin().await?;
            let deleted = P::Database::purge(&mut transaction, &self.table, BATCH).await?;
            transaction.commit().await?;
            total += deleted;
            if deleted < u64::from(BATCH) {
                return Ok(total);
            }
        }
    }
}

/// A name that needs no quotes, with or without a schema.
pub(super) fn checked(name: String) -> Result<String, ConfigError> {
    let is_plain = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    if name.split('.').count() <= 2 && name.split('.').all(is_plain) {
        return Ok(name);
    }
    Err(ConfigError::OutOfRange {
        setting: "table_name",
        given: format!("`{name}`"),
        instead: "letters, digits and `_`, as in `idempotency_keys` or `app.idempotency_keys`",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quotes_are_refused() {
        for name in ["keys", "app.request_keys", "_k1"] {
            assert_eq!(checked(name.to_owned()).unwrap(), name);
        }
        for name in [
            "",
            "a b",
            "a.b.c",
            "a.",
            "1a",
            "a;--",
            "\"a\"",
            "é",
            &"a".repeat(64),
        ] {
            assert!(checked(name.to_owned()).is_err(), "{name}");
        }
    }
}
