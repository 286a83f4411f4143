//! Work that takes effect once, however often it is asked for.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Error, Transaction};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::engine::keys::{Claim, Keys, Record};
use crate::error::{ConfigError, IdempotencyError};
use crate::pool::Pool;
use crate::retry::{self, Ended};
use crate::retry_policy::RetryPolicy;
use crate::retrying::{self, Failure, or_rolled_back};
use crate::telemetry;

#[cfg(feature = "data-api")]
mod data_api;
#[cfg(feature = "lambda")]
mod each;
mod key;
mod once_pool;
mod result;
mod table;

pub use self::key::IdempotencyKey;
pub use self::once_pool::OncePool;

/// How work is done once: where its keys are, how long they count, and what a duplicate meets.
///
/// [`Pool::once`] is the short way, with the defaults.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: sqlx_rds::PgPool) -> Result<(), sqlx::Error> {
/// use std::time::Duration;
/// use sqlx_rds::Idempotency;
///
/// let idempotency = Idempotency::new()
///     .table_name("app.request_keys")?
///     .ttl(Duration::from_secs(7 * 24 * 60 * 60))?;
/// idempotency.create_table(&pool).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Idempotency {
    table: String,
    ttl: Duration,
    waits: bool,
    policy: RetryPolicy,
}

/// What [`Pool::once`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once<T> {
    /// The work was done now.
    First(T),
    /// It had been done before, and this is what came of it then: by an earlier call, by one at the
    /// same time, or by an attempt of this one whose `COMMIT` was not answered.
    Repeat(T),
}

impl<T> Once<T> {
    /// What came of the work, now or before.
    pub fn into_inner(self) -> T {
        match self {
            Self::First(value) | Self::Repeat(value) => value,
        }
    }

    /// Whether it had been done before.
    pub fn is_repeat(&self) -> bool {
        matches!(self, Self::Repeat(_))
    }
}

impl Idempotency {
    /// Keys in the table `idempotency_keys`, for 24 h; duplicates wait.
    #[must_use]
    pub fn new() -> Self {
        Self::keeping(Duration::from_secs(24 * 60 * 60))
    }

    pub(crate) fn keeping(ttl: Duration) -> Self {
        Self {
            table: "idempotency_keys".to_owned(),
            ttl,
            waits: true,
            policy: RetryPolicy::new(),
        }
    }

    /// The table of keys, as `keys` or `schema.keys`. Default: `idempotency_keys`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for what needs quotes: letters, digits and `_` are taken.
    pub fn table_name(mut self, name: impl Into<String>) -> Result<Self, ConfigError> {
        self.table = table::checked(name.into())?;
        Ok(self)
    }

    /// How long a key counts from its first use on; after that the same key does the work again.
    /// Default: 24 h. From 1 min to 10 years, and twice the policy's timeout at least.
    ///
    /// Longer than whoever repeats goes on repeating: an SQS queue keeps messages for up to 14 days.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`].
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        if !(Duration::from_secs(60)..=3_660 * DAY).contains(&ttl) {
            return Err(ConfigError::OutOfRange {
                setting: "ttl",
                given: format!("{ttl:?}"),
                instead: "1 min to 10 years; 24 h is the default",
            });
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// Whether a call waits while another with the same key is under way, and then answers as that
    /// one did. Default: true, up to the policy's timeout; false fails at once with
    /// [`IdempotencyError::InProgress`].
    ///
    /// On MySQL and MariaDB false costs a query more, and a duplicate that begins in the same
    /// moment, between that query and the transaction, still waits. Over the Data API nobody waits
    /// in the database: the key is asked for again. On Aurora DSQL, which has no
    /// locks, nobody waits: the later `COMMIT` conflicts, and is run again.
    #[must_use]
    pub fn wait_for_duplicates(mut self, wait: bool) -> Self {
        self.waits = wait;
        self
    }

    /// How often, and for how long, work is tried. Default: [`RetryPolicy::new`].
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Does `work` once for `key`, by these settings: see [`Pool::once`].
    ///
    /// # Errors
    ///
    /// As [`Pool::once`].
    ///
    /// # Cancel safety
    ///
    /// As [`Pool::once`].
    pub async fn once<P, T, E>(
        &self,
        pool: &P,
        key: &IdempotencyKey,
        work: impl for<'c> Fn(&'c mut Transaction<'static, P::Database>) -> BoxFuture<'c, Result<T, E>>
        + Send
        + Sync,
    ) -> Result<Once<T>, E>
    where
        P: OncePool,
        T: Serialize + DeserializeOwned + Send,
        E: From<Error> + StdError + Send + 'static,
    {
        self.check().map_err(Error::from)?;
        let (work, waits) = (&work, &AtomicBool::new(false));
        let attempt = move |deadline| async move {
            let begun = async {
                if let Some(record) = self.look::<P, E>(pool, key).await? {
                    let value = result::read(record, key).map_err(told)?;
                    return Ok::<_, Failure<E>>((None, Once::Repeat(value)));
                }
                let mut transaction = pool.begin().await.map_err(Failure::of)?;
                let done = async {
                    let before = waits.swap(true, Ordering::Relaxed);
                    let claimed = self.claim(pool, &mut transaction, key).await;
                    waits.store(before && claimed.is_err(), Ordering::Relaxed);
                    if let Some(record) = claimed? {
                        return result::read(record, key).map(Once::Repeat).map_err(told);
                    }
                    let value = work(&mut transaction).await.map_err(Failure::of)?;
                    self.keep(&mut transaction, &[key.as_str()], &value).await?;
                    Ok(Once::First(value))
                };
                let done = done.await;
                let (transaction, once) = or_rolled_back(transaction, done).await?;
                Ok((Some(transaction), once))
            };
            let (transaction, once) = match retry::cut(deadline, begun).await {
                // What takes so long is the other call.
                Err(_) if waits.load(Ordering::Relaxed) && Instant::now() >= deadline => {
                    return Err(Ended::Failed(told(IdempotencyError::InProgress)));
                }
                Err(Ended::Failed(failure)) => {
                    waits.fetch_or(failure.is_in_turn(), Ordering::Relaxed);
                    return Err(Ended::Failed(failure));
                }
                begun => begun?,
            };
            // Where its answer is lost, the next attempt finds the key, or does the work again: it
            // waits for a `COMMIT` that the server is still busy with.
            if let Some(transaction) = transaction {
                let committed = async { transaction.commit().await.map_err(Failure::of) };
                retry::cut(deadline, committed).await?;
            }
            Ok(once)
        };
        let once = retrying::run(P::SYSTEM, &pool.budget(), self.policy, attempt).await?;
        telemetry::done_once(once.is_repeat());
        Ok(once)
    }

    /// Takes the key, or finds what was committed with it.
    async fn claim<P: OncePool, E: From<Error> + StdError + 'static>(
        &self,
        pool: &P,
        transaction: &mut Transaction<'static, P::Database>,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, Failure<E>> {
        let claim = Claim {
            table: &self.table,
            keys: &[(key.as_str(), key.fingerprint())],
            ttl: self.ttl,
            waits: self.waits && P::WAITS,
            lockless: pool.is_lockless(),
        };
        if P::Database::claim(transaction, claim)
            .await
            .map_err(Failure::of)?
        {
            return Ok(None);
        }
        let known = P::Database::known(transaction, &self.table, &[key.as_str()]).await;
        match known.map_err(Failure::of)?.pop() {
            Some(record) => Ok(Some(record)),
            // Or it has expired in this moment.
            None => Err(self.busy()),
        }
    }

    /// Another call has the key.
    fn busy<E: From<Error> + StdError + 'static>(&self) -> Failure<E> {
        let error = Error::from(IdempotencyError::InProgress);
        if self.waits {
            Failure::in_turn(error)
        } else {
            Failure::last(error)
        }
    }

    async fn keep<DB: Keys, E: From<Error> + StdError + 'static>(
        &self,
        transaction: &mut Transaction<'static, DB>,
        keys: &[&str],
        value: &impl Serialize,
    ) -> Result<(), Failure<E>> {
        let result = result::write(value).map_err(told)?;
        let kept = DB::keep(transaction, &self.table, keys, &result).await;
        if kept.map_err(Failure::of)? {
            Ok(())
        } else {
            Err(told(IdempotencyError::TransactionEnded))
        }
    }

    /// What can be told without waiting, before the transaction: what was done, or that it is being
    /// done.
    async fn look<P: OncePool, E: From<Error> + StdError + 'static>(
        &self,
        pool: &P,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, Failure<E>> {
        if (self.waits && P::WAITS) || !P::Database::ASKS_WHETHER_BUSY {
            return Ok(None);
        }
        let mut connection = pool.acquire().await.map_err(Failure::of)?;
        let busy = P::Database::is_busy(&mut connection, &self.table, key.as_str()).await;
        if !busy.map_err(Failure::of)? {
            return Ok(None);
        }
        // One that repeats what was done has its row, too.
        let known = P::Database::known(&mut connection, &self.table, &[key.as_str()]).await;
        match known.map_err(Failure::of)?.pop() {
            Some(record) => Ok(Some(record)),
            None => Err(self.busy()),
        }
    }

    /// A key must count for as long as a call that lost its answer may ask for it.
    fn check(&self) -> Result<(), ConfigError> {
        if self.ttl >= 2 * self.policy.timeout {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            setting: "ttl",
            given: format!("{:?} with a timeout of {:?}", self.ttl, self.policy.timeout),
            instead: "twice the timeout of `retry_policy` or more; 24 h is the default",
        })
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self::new()
    }
}

impl<DB: Engine> Pool<DB> {
    /// Does `work` in a transaction, once for `key`: whoever asks with the same key again gets what
    /// came of it the first time, and nothing is done.
    ///
    /// The key is written in the same transaction as the work, so that both took effect or neither.
    /// A call with a key that is under way elsewhere waits for it. Where a connection is lost at
    /// `COMMIT`, which leaves open whether it took effect, the key tells: this is the one kind of
    /// write that may be run again then, and it is, by the rules of
    /// [`transaction`](Self::transaction).
    ///
    /// What `work` returns is stored as JSON, of 64 KiB at most; return an id rather than a page. An
    /// error of `work` is not stored: the same key tries again. What `work` does outside of the
    /// transaction is not undone and may be done again; in MySQL that goes for statements that commit
    /// by themselves, as `CREATE TABLE`.
    ///
    /// Keys are kept for 24 h in the table `idempotency_keys`, which
    /// [`Idempotency::create_table`] creates; [`Idempotency`] has these and other settings.
    ///
    /// ```
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx_rds::PgPool, header: &str) -> Result<(), sqlx::Error> {
    /// use sqlx_rds::IdempotencyKey;
    ///
    /// let key = IdempotencyKey::from_header(header)?.within("orders")?;
    /// let order = pool
    ///     .once(&key, |transaction| {
    ///         Box::pin(async move {
    ///             sqlx::query_scalar("INSERT INTO orders (item) VALUES ($1) RETURNING id")
    ///                 .bind(7)
    ///                 .fetch_one(&mut **transaction)
    ///                 .await
    ///         })
    ///     })
    ///     .await?;
    /// let id: i64 = order.into_inner();
    /// # drop(id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`transaction`](Self::transaction), and an [`IdempotencyError`] inside of
    /// [`Error::Io`]. After any error the call may be repeated with the same key.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what is under way is rolled back, and a `COMMIT` that was sent may take effect.
    /// A call with the same key finds out.
    pub async fn once<T, E>(
        &self,
        key: &IdempotencyKey,
        work: impl for<'c> Fn(&'c mut Transaction<'static, DB>) -> BoxFuture<'c, Result<T, E>>
        + Send
        + Sync,
    ) -> Result<Once<T>, E>
    where
        T: Serialize + DeserializeOwned + Send,
        E: From<Error> + StdError + Send + 'static,
    {
        Idempotency::new().once(self, key, work).await
    }
}

fn told<E: From<Error> + StdError + 'static>(error: IdempotencyError) -> Failure<E> {
    Failure::last(Error::from(error))
}
