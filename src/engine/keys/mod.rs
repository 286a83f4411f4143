//! The table of idempotency keys, in each engine's SQL.

use std::time::Duration;

use sqlx::{Database, Error};

#[cfg(any(feature = "mysql", all(feature = "data-api", feature = "idempotency")))]
pub(crate) mod mysql;
#[cfg(any(
    feature = "postgres",
    all(feature = "data-api", feature = "idempotency")
))]
pub(crate) mod postgres;

/// Keys that a transaction wants to itself, and what it writes beside them.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Checked to be a name, since it becomes part of statements.
    pub table: &'a str,
    /// With the fingerprints of their requests, in order, so that two transactions do not wait for
    /// each other.
    pub keys: &'a [(&'a str, Option<&'a [u8]>)],
    pub ttl: Duration,
    /// Whether a transaction that has one of the keys already is waited for.
    pub waits: bool,
    /// Whether no advisory locks are taken: Aurora DSQL knows none.
    pub lockless: bool,
}

impl Claim<'_> {
    /// How long the keys count, as both engines can add it to a time.
    pub fn ttl_in_micros(&self) -> i64 {
        i64::try_from(self.ttl.as_micros()).unwrap_or(i64::MAX)
    }
}

/// What was committed with a key.
#[derive(Debug)]
pub struct Record {
    pub key: String,
    pub fingerprint: Option<Vec<u8>>,
    /// JSON. Nothing where the work committed its transaction itself.
    pub result: Option<String>,
}

/// What is done with the table.
pub trait Keys: Database {
    /// Statements that create the table where there is none; each goes alone.
    fn table_of_keys(table: &str, lockless: bool) -> Vec<String>;

    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn create(
        connection: &mut Self::Connection,
        statement: String,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether a claim that must not wait asks this before; else it is part of the claim.
    const ASKS_WHETHER_BUSY: bool;

    /// Whether a transaction has the key, as far as that can be told without waiting for it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn is_busy(
        connection: &mut Self::Connection,
        table: &str,
        key: &str,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Writes the keys, in the place of those that have expired too, and says whether all of them
    /// are this transaction's; else some are another's, or were committed before.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn claim(
        connection: &mut Self::Connection,
        claim: Claim<'_>,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// What was committed with those of `keys` that have not expired.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn known(
        connection: &mut Self::Connection,
        table: &str,
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// Adds the result to keys that were claimed; `false` where they are not this transaction's any
    /// more, since the work has ended it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn keep(
        connection: &mut Self::Connection,
        table: &str,
        keys: &[&str],
        result: &str,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Deletes at most `limit` keys that have expired, and says how many.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe, as any statement.
    fn purge(
        connection: &mut Self::Connection,
        table: &str,
        limit: u32,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
}
