//! Many pieces of work in one transaction, each of which takes effect once.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_core::future::BoxFuture;
use sqlx::{Error, Transaction};

use super::result::is_another;
use super::{Idempotency, IdempotencyKey, told};
use crate::engine::Engine;
use crate::engine::keys::Claim;
use crate::error::IdempotencyError;
use crate::pool::Pool;
use crate::retry;
use crate::retrying::{Failure, or_rolled_back};

impl Idempotency {
    /// Does `work` for those of `items` whose keys were not done before, in one transaction with
    /// their keys; `has_begun` tells that it was called. It always waits for duplicates, and then
    /// passes them over.
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
        has_begun: &AtomicBool,
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
        self.check().map_err(Error::from)?;
        pool.run(self.policy, move |deadline| async move {
            let begun = async {
                let mut transaction = pool.begin().await.map_err(Failure::of)?;
                let done = async {
                    let (keys, fresh) = self.claim_fresh(&mut transaction, items).await?;
                    if fresh.is_empty() {
                        return Ok(());
                    }
                    has_begun.store(true, Ordering::Relaxed);
                    work(&mut transaction, &fresh).await.map_err(Failure::of)?;
                    self.keep(&mut transaction, &keys, &()).await
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

    /// Those that are to be done, with their keys, which are this transaction's from now on.
    async fn claim_fresh<'i, DB, M, E>(
        &self,
        transaction: &mut Transaction<'static, DB>,
        items: &'i [(IdempotencyKey, &'i M)],
    ) -> Result<(Vec<&'i str>, Vec<&'i M>), Failure<E>>
    where
        DB: Engine,
        E: From<Error> + StdError + 'static,
    {
        let keys: Vec<_> = items.iter().map(|(key, _)| key.as_str()).collect();
        let known = DB::known(transaction, &self.table, &keys).await;
        let mut seen: HashMap<_, _> = known
            .map_err(Failure::of)?
            .into_iter()
            .map(|record| (record.key, record.fingerprint))
            .collect();
        let (mut claimed, mut fresh) = (Vec::new(), Vec::new());
        for (key, item) in items {
            if let Some(then) = seen.get(key.as_str()) {
                if is_another(then.as_deref(), key) {
                    return Err(told(IdempotencyError::KeyReused));
                }
                continue;
            }
            let fingerprint = key.fingerprint();
            seen.insert(key.as_str().to_owned(), fingerprint.map(<[u8]>::to_vec));
            claimed.push((key.as_str(), fingerprint));
            fresh.push(*item);
        }
        claimed.sort_unstable();
        let claim = Claim {
            table: &self.table,
            keys: &claimed,
            ttl: self.ttl,
            waits: true,
            // The unique index makes duplicates wait; a server has few advisory locks, as those
            // of a hundred messages in each of a hundred functions.
            lockless: true,
        };
        if !claimed.is_empty() && !DB::claim(transaction, claim).await.map_err(Failure::of)? {
            // Another has done some of it by now: the next attempt finds out which.
            return Err(Failure::of(Error::from(IdempotencyError::InProgress)));
        }
        Ok((claimed.iter().map(|(key, _)| *key).collect(), fresh))
    }
}
