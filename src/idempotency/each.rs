//! Many pieces of work in one transaction, each of which takes effect once.

use std::collections::HashSet;
use std::error::Error as StdError;

use futures_core::future::BoxFuture;
use sqlx::{Error, Transaction};

use super::{Idempotency, IdempotencyKey};
use crate::engine::Engine;
use crate::engine::keys::Claim;
use crate::error::IdempotencyError;
use crate::pool::Pool;
use crate::retry;
use crate::retrying::{Failure, or_rolled_back};

/// What work that returns nothing returns, as JSON.
const NOTHING: &str = "null";

impl Idempotency {
    /// Does `work` for those of `items` whose keys were not done before, in one transaction with
    /// their keys. It always waits for duplicates, and then passes them over.
    ///
    /// # Errors
    ///
    /// As [`Pool::once`]; nothing took effect then, or the next call finds out.
    ///
    /// # Cancel safety
    ///
    /// As [`Pool::once`].
    pub(crate) async fn each_once<DB, M, E>(
        &self,
        pool: &Pool<DB>,
        items: &[(IdempotencyKey, &M)],
        work: &(
             impl for<'c> Fn(
            &'c mut Transaction<'static, DB>,
            &'c [&'c M],
        ) -> BoxFuture<'c, Result<(), E>>
             + Send
             + Sync
         ),
    ) -> Result<(), E>
    where
        DB: Engine,
        M: Sync,
        E: From<Error> + StdError + Send + 'static,
    {
        pool.run(self.policy, move |deadline| async move {
            let begun = async {
                let mut transaction = pool.begin().await.map_err(Failure::of)?;
                let done = async {
                    let fresh = self.claim_fresh(pool, &mut transaction, items).await?;
                    if fresh.is_empty() {
                        return Ok(());
                    }
                    work(&mut transaction, &fresh).await.map_err(Failure::of)
                };
                let done = done.await;
                or_rolled_back(transaction, done).await
            };
            let (transaction, ()) = retry::cut(deadline, begun).await?;
            let committed = async { transaction.commit().await.map_err(Failure::of) };
            retry::cut(deadline, committed).await
        })
        .await
    }

    /// Those that are to be done, whose keys are this transaction's from now on.
    async fn claim_fresh<'i, DB, M, E>(
        &self,
        pool: &Pool<DB>,
        transaction: &mut Transaction<'static, DB>,
        items: &[(IdempotencyKey, &'i M)],
    ) -> Result<Vec<&'i M>, Failure<E>>
    where
        DB: Engine,
        E: From<Error> + StdError + 'static,
    {
        let keys: Vec<_> = items.iter().map(|(key, _)| key.as_str()).collect();
        let known = DB::known(transaction, &self.table, &keys).await;
        let known = known.map_err(Failure::of)?;
        let (expired, known): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|record| record.has_expired);
        let known: HashSet<_> = known.iter().map(|record| record.key.as_str()).collect();
        let mut keys = HashSet::new();
        let mut fresh = Vec::new();
        for (key, item) in items {
            // The first of those that share a key.
            if !known.contains(key.as_str()) && keys.insert(key.as_str()) {
                fresh.push(*item);
            }
        }
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        let claim = Claim {
            result: Some(NOTHING),
            // The unique index makes duplicates wait; a server has few advisory locks, as those
            // of a hundred messages in each of a hundred functions.
            lockless: true,
            ..self.claim_of(pool, &keys)
        };
        if !expired.is_empty() {
            let forgotten = DB::forget_expired(transaction, &self.table, &keys).await;
            forgotten.map_err(Failure::of)?;
        }
        if keys.is_empty() || DB::claim(transaction, claim).await.map_err(Failure::of)? {
            Ok(fresh)
        } else {
            // Another has done some of it by now: the next attempt finds out which.
            Err(Failure::of(Error::from(IdempotencyError::InProgress)))
        }
    }
}
