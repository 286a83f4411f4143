//! Units of work that are run again, whole, where that helps.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use sqlx::{Database, Error, Transaction};
use tokio::time::Instant;
use tracing::Instrument;

use crate::budget::Budget;
use crate::connection::PoolConnection;
use crate::engine::Engine;
use crate::kind::{ErrorKind, Recovery};
use crate::pool::Pool;
use crate::retry::Ended;
use crate::retry_policy::RetryPolicy;
use crate::telemetry::{self, Tried, UnitFacts};
use crate::{deadline, retry};

impl<DB: Engine> Pool<DB> {
    /// Runs `work` in a transaction and commits it; runs all of it again where that failed for a
    /// reason that may pass, and certainly left nothing behind.
    ///
    /// That is: the transaction could not begin, or an error inside it or at its `COMMIT` says that
    /// it conflicted with another (40001, deadlock, Aurora DSQL's OC000), or its connection or
    /// server was lost before `COMMIT` was sent. A connection that is lost at `COMMIT` leaves open
    /// whether it took effect, and that error is returned. What `work` does outside the database
    /// is done again each time.
    ///
    /// An error of a statement that `work` keeps to itself still ends the transaction in PostgreSQL,
    /// whose `COMMIT` then rolls back and says nothing, here as in sqlx: pass errors on, or use a
    /// savepoint. `once` finds out.
    ///
    /// The error of `work` may be of any type that is made from [`sqlx::Error`] and names it as its
    /// source. Retries of all callers share a budget of the pool's, which an outage uses up: then
    /// each unit of work is tried once until some succeed again.
    ///
    /// The closure is shaped as that of [`sqlx::Connection::transaction`], and moves or clones what
    /// each run needs.
    ///
    /// ```
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx_rds::PgPool) -> Result<(), sqlx::Error> {
    /// use sqlx_rds::RetryPolicy;
    ///
    /// let left: i64 = pool
    ///     .transaction(RetryPolicy::new(), |transaction| {
    ///         Box::pin(async move {
    ///             sqlx::query("UPDATE stock SET left = left - 1 WHERE item = $1")
    ///                 .bind(7)
    ///                 .execute(&mut **transaction)
    ///                 .await?;
    ///             sqlx::query_scalar("SELECT left FROM stock WHERE item = $1")
    ///                 .bind(7)
    ///                 .fetch_one(&mut **transaction)
    ///                 .await
    ///         })
    ///     })
    ///     .await?;
    /// # drop(left);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The last error of `work`, of [`begin`](Self::begin) or of `COMMIT`; when the policy's timeout
    /// ends a first attempt, an [`Error::Io`] of kind [`io::ErrorKind::TimedOut`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe but for `COMMIT`: a transaction that is under way is rolled back, and one that is
    /// being committed may take effect. The policy's timeout does not cut a `COMMIT` off.
    pub async fn transaction<T, E>(
        &self,
        policy: RetryPolicy,
        work: impl for<'c> Fn(&'c mut Transaction<'static, DB>) -> BoxFuture<'c, Result<T, E>>
        + Send
        + Sync,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + StdError + Send + 'static,
    {
        let work = &work;
        self.run(policy, move |deadline| async move {
            let begun = async {
                let mut transaction = self.begin().await.map_err(Failure::of)?;
                let done = work(&mut transaction).await.map_err(Failure::of);
                or_rolled_back(transaction, done).await
            };
            let (transaction, value) = retry::cut(deadline, begun).await?;
            match transaction.commit().await {
                Ok(()) => Ok(value),
                // The server has rolled it back.
                Err(error) if ErrorKind::of(&error) == ErrorKind::Conflict => {
                    Err(Ended::Failed(Failure::of(error)))
                }
                Err(error) => Err(Ended::Failed(Failure::last(error))),
            }
        })
        .await
    }

    /// Runs `work` on a connection, and runs all of it again where it failed for a reason that may
    /// pass: for work that may be done twice, as reads.
    ///
    /// Not for work that must take effect once: a connection that is lost does not say how far the
    /// server came. Use [`transaction`](Self::transaction) there, whose rules for errors, policy and
    /// budget this shares.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `work`; the policy's timeout cancels it.
    pub async fn retry<T, E>(
        &self,
        policy: RetryPolicy,
        work: impl for<'c> Fn(&'c mut PoolConnection<DB>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + StdError + Send + 'static,
    {
        let work = &work;
        self.run(policy, move |deadline| async move {
            let attempt = async {
                let mut connection = self.acquire().await.map_err(Failure::of)?;
                work(&mut connection).await.map_err(Failure::of)
            };
            retry::cut(deadline, attempt).await
        })
        .await
    }

    /// See [`run`].
    pub(crate) async fn run<T, E, Fut>(
        &self,
        policy: RetryPolicy,
        attempt: impl Fn(Instant) -> Fut,
    ) -> Result<T, E>
    where
        Fut: Future<Output = Result<T, Ended<Failure<E>>>>,
        E: From<Error> + StdError + 'static,
    {
        run(DB::SYSTEM, self.shared().budget(), policy, attempt).await
    }
}

/// Runs attempts until one succeeds, or fails with what does not pass.
///
/// # Cancel safety
///
/// As cancel safe as an attempt.
pub(crate) async fn run<T, E, Fut>(
    system: &'static str,
    budget: &Budget,
    policy: RetryPolicy,
    attempt: impl Fn(Instant) -> Fut,
) -> Result<T, E>
where
    Fut: Future<Output = Result<T, Ended<Failure<E>>>>,
    E: From<Error> + StdError + 'static,
{
    let started = Instant::now();
    let deadline = deadline::of(started, policy.timeout);
    let (attempts, failures) = (AtomicU32::new(0), AtomicU32::new(0));
    let worked = Mutex::new(Duration::ZERO);
    let span = telemetry::unit_span(system);
    let units = retry::until(
        Tried::Work,
        deadline,
        |_| policy.backoff,
        || {
            attempts.fetch_add(1, Ordering::Relaxed);
            let (begun, attempt) = (Instant::now(), attempt(deadline));
            let worked = &worked;
            async move {
                let result = attempt.await;
                *worked.lock().unwrap_or_else(PoisonError::into_inner) += begun.elapsed();
                result
            }
        },
        |failure| match failure.passes {
            Passes::Never => false,
            Passes::Perhaps => {
                let failed = failures.fetch_add(1, Ordering::Relaxed) + 1;
                failed < policy.max_attempts.get() && budget.spend()
            }
            #[cfg(feature = "idempotency")]
            Passes::InTurn => true,
        },
        |last: Option<Failure<E>>| {
            // Whose turn it was before says nothing of the work that was cut off.
            #[cfg(feature = "idempotency")]
            let last = last.filter(|last| !last.is_in_turn());
            last.unwrap_or_else(|| Failure::last(timed_out(policy.timeout)))
        },
    );
    // What `begin` waits for ends then too, with an error that says what it was.
    let result = deadline::by(deadline, units).instrument(span.clone()).await;
    if result.is_ok() {
        budget.succeeded(failures.load(Ordering::Relaxed) > 0);
    }
    let took = started.elapsed();
    let worked = worked.into_inner().unwrap_or_else(PoisonError::into_inner);
    let facts = UnitFacts {
        attempts: attempts.load(Ordering::Relaxed),
        waited: took.saturating_sub(worked),
        took,
        succeeded: result.is_ok(),
    };
    telemetry::unit_ended(&span, facts);
    result.map_err(|failure| failure.error)
}

/// How an attempt failed.
pub(crate) struct Failure<E> {
    error: E,
    passes: Passes,
}

/// Whether another attempt may succeed.
enum Passes {
    Never,
    Perhaps,
    /// Once another is done: nothing has failed, and what retries may cost is not used up.
    #[cfg(feature = "idempotency")]
    InTurn,
}

impl<E: StdError + 'static> Failure<E> {
    /// Where nothing can have taken effect, or doing it again is harmless.
    pub(crate) fn of(error: impl Into<E>) -> Self {
        let error = error.into();
        let recovery = sqlx_error(&error).map(|error| ErrorKind::of(error).recovery());
        let passes = match recovery {
            Some(Recovery::Retry | Recovery::Reconnect) => Passes::Perhaps,
            _ => Passes::Never,
        };
        Self { error, passes }
    }

    /// Where another is at it, and it is asked again instead of waited for.
    #[cfg(feature = "idempotency")]
    pub(crate) fn in_turn(error: impl Into<E>) -> Self {
        Self {
            error: error.into(),
            passes: Passes::InTurn,
        }
    }

    #[cfg(feature = "idempotency")]
    pub(crate) fn is_in_turn(&self) -> bool {
        matches!(self.passes, Passes::InTurn)
    }

    /// Where it may have, or there is no time left.
    pub(crate) fn last(error: impl Into<E>) -> Self {
        Self {
            error: error.into(),
            passes: Passes::Never,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Keeps a transaction whose work was done, and ends one whose work was not: its locks are not to
/// be held while we wait.
///
/// # Cancel safety
///
/// Cancel safe: a transaction that is dropped is rolled back.
pub(crate) async fn or_rolled_back<DB: Database, T, E>(
    transaction: Transaction<'static, DB>,
    done: Result<T, E>,
) -> Result<(Transaction<'static, DB>, T), E> {
    match done {
        Ok(value) => Ok((transaction, value)),
        Err(error) => {
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// sqlx's error in a chain of causes.
pub(crate) fn sqlx_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

fn timed_out(after: Duration) -> Error {
    let text = format!("the unit of work did not end within {after:.1?}");
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
