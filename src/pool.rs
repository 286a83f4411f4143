//! The pool: sqlx's calls over deadpool's accounting.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool::managed::{self, Object, PoolError, QueueMode, TimeoutType};
use log::LevelFilter;
use sqlx::Database;
use tokio::task::coop;
use tokio::time::{Instant, timeout, timeout_at};

pub use crate::close_event::CloseEvent;
pub use crate::connection::PoolConnection;
use crate::connector::Connector;
use crate::deadline;
use crate::engine::{Engine, OptionsOf};
use crate::error::{ConfigError, Overloaded};
pub use crate::hooks::PoolConnectionMetadata;
use crate::keeper::{self, Keeper};
use crate::kind::ErrorKind;
use crate::manager::{self, Manager};
use crate::neighbour;
pub use crate::options::PoolOptions;
use crate::queue::Counted;
use crate::shared::Shared;
use crate::shell::Lent;
use crate::target::Target;
use crate::telemetry;

mod settle;

/// How long [`Pool::close`] waits for connections that are out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an acquire that waits looks for connections that are held by nobody.
const RECLAIM_INTERVAL: Duration = Duration::from_millis(250);

/// Why no bare connection is handed out where statements are lost between transactions.
pub(crate) const BARE: &str = "through `pgbouncer(0)` a prepared statement lives no longer than its \
    transaction; use `begin`, or run the query straight on the pool";

/// A pool of connections that log in with the current login; a stand-in for [`sqlx::Pool`].
///
/// `&Pool` is an [`sqlx::Executor`] and an [`sqlx::Acquire`], so that queries, transactions and
/// migrations run on it as on sqlx's own pool. Clones are handles to the same pool.
pub struct Pool<DB: Engine>(Arc<Inner<DB>>);

struct Inner<DB: Engine> {
    pool: managed::Pool<Manager<DB>>,
    /// Connections that are inside transactions.
    lent: Lent<DB>,
    keeper: Keeper,
}

impl<DB: Engine> Pool<DB> {
    /// Nothing is connected yet.
    pub(crate) fn over(target: Target<DB>, options: PoolOptions<DB>) -> Self {
        let size = options.max_connections as usize;
        let pool = managed::Pool::builder(Manager::with_options(target, options))
            // Where it may not hold any, every acquire shall say why.
            .max_size(size.max(1))
            // Last in, first out: what is not needed stays unused and can be let go.
            .queue_mode(QueueMode::Lifo)
            .build();
        match pool {
            Ok(pool) => {
                neighbour::introduce(&pool);
                Self(Arc::new(Inner {
                    pool,
                    lent: Lent::default(),
                    keeper: Keeper::default(),
                }))
            }
            // deadpool's only reason is a timeout without a runtime, and no timeout is set.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// A connection of one's own, until it is dropped.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] when no connection became free within
    /// [`acquire_timeout`](PoolOptions::acquire_timeout), [`Overloaded`] inside
    /// [`sqlx::Error::Io`] when [`max_waiters`](PoolOptions::max_waiters) wait already,
    /// [`sqlx::Error::PoolClosed`], and, when a new connection had to be opened, the last error of
    /// doing so. Through `pgbouncer(0)` always [`sqlx::Error::Configuration`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the place in the queue is given up, and a half-open connection is dropped, as
    /// is one that was being pinged.
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<DB>, sqlx::Error>> + Send + 'static {
        let pool = self.clone();
        async move {
            if pool.shared().loses_statements {
                return Err(ConfigError::Conflict(BARE).into());
            }
            pool.checkout().await
        }
    }

    /// An idle connection, where there is one at this moment and nobody waits for it.
    ///
    /// As in sqlx it is not tested, and `before_acquire` is not called.
    #[must_use]
    pub fn try_acquire(&self) -> Option<PoolConnection<DB>> {
        if self.shared().loses_statements {
            return None;
        }
        self.take_idle()
    }

    /// [`try_acquire`](Self::try_acquire), for those who know what may be done with it.
    pub(crate) fn take_idle(&self) -> Option<PoolConnection<DB>> {
        manager::take_idle(&self.0.pool).map(PoolConnection::new)
    }

    /// [`acquire`](Self::acquire), for those who hold the pool.
    pub(crate) async fn checkout(&self) -> Result<PoolConnection<DB>, sqlx::Error> {
        let mut get = pin!(self.0.pool.get());
        // Where one is idle, no timer is made and no clock is read.
        let first = poll_fn(|context| Poll::Ready(get.as_mut().poll(context))).await;
        let got = match first {
            Poll::Ready(Ok(object)) => {
                self.note_time(Duration::ZERO);
                Ok(object)
            }
            first => {
                let started = Instant::now();
                let deadline = deadline::of(started, self.options().acquire_timeout);
                let place = self.queue_up()?;
                let first = async {
                    match first {
                        Poll::Ready(got) => got,
                        Poll::Pending => self.wait_once(get, deadline).await,
                    }
                };
                let got = manager::by(deadline, self.wait(first, deadline)).await;
                drop(place);
                self.ensure_keeper();
                let took = started.elapsed();
                match got {
                    Ok(_) => self.note_time(took),
                    Err(PoolError::Timeout(_) | PoolError::Backend(sqlx::Error::PoolTimedOut)) => {
                        self.note_timeout(took);
                    }
                    Err(_) => {}
                }
                got
            }
        };
        match got {
            Ok(object) => Ok(PoolConnection::new(object)),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Closed) => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    fn queue_up(&self) -> Result<Counted<'_>, Overloaded> {
        let max = self.options().max_waiters;
        // tokio makes a task wait that has worked for long, also where a connection is idle.
        let max = max.filter(|_| coop::has_budget_remaining());
        let joined = self.shared().queue.join(max);
        if let Err(overloaded) = &joined {
            telemetry::overloaded(overloaded.max_waiters);
        }
        joined
    }

    /// Waits for the `first` get, and where the server is full for those that are open.
    async fn wait(&self, first: impl Get<DB>, deadline: Instant) -> Got<DB> {
        let mut full = match first.await {
            Err(PoolError::Backend(error)) if self.must_share(&error) => error,
            got => return got,
        };
        let queue = &self.shared().queue;
        let _turned_away = queue.turn_away();
        loop {
            let look = deadline.min(Instant::now() + RECLAIM_INTERVAL);
            let _ = timeout_at(look, queue.until_one_came_back()).await;
            if Instant::now() >= deadline {
                return Err(PoolError::Backend(full));
            }
            match self.wait_once(pin!(self.0.pool.get()), deadline).await {
                Err(PoolError::Backend(error)) if self.must_share(&error) => {
                    if !matches!(error, sqlx::Error::PoolTimedOut) {
                        full = error;
                    }
                }
                // What the server said explains it better.
                Err(PoolError::Timeout(_)) => return Err(PoolError::Backend(full)),
                got => return got,
            }
        }
    }

    /// Whether the pool has to do with the connections it has, by the error of a connect.
    fn must_share(&self, error: &sqlx::Error) -> bool {
        match ErrorKind::of(error) {
            ErrorKind::Full => manager::make_room(&self.0.pool) > 0,
            // The ceiling's.
            ErrorKind::PoolTimedOut => true,
            _ => false,
        }
    }

    /// Waits for a `get` until `deadline`.
    async fn wait_once(&self, mut get: impl Get<DB> + Unpin, deadline: Instant) -> Got<DB> {
        loop {
            let look = deadline.min(Instant::now() + RECLAIM_INTERVAL);
            if let Ok(got) = timeout_at(look, &mut get).await {
                return got;
            }
            if look == deadline {
                return Err(PoolError::Timeout(TimeoutType::Wait));
            }
            // Nobody tells when a runtime ends under a transaction, so whoever waits looks.
            self.0.lent.reclaim();
        }
    }

    /// Closes the pool, from this call on: waiters get [`sqlx::Error::PoolClosed`], nothing new is
    /// opened, idle connections say goodbye to the server, and those that are out do so when they
    /// come back.
    ///
    /// The future ends when none is left, or after 30 s. sqlx waits without a bound.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the waiting.
    pub fn close(&self) -> impl Future<Output = ()> + '_ {
        // Those that come back while others are let go meet a pool that is closed.
        let idle = self.0.pool.retain(|_, _| false).removed;
        self.0.pool.close();
        // One that came back between the two may lie there still; none comes after.
        let last = self.0.pool.retain(|_, _| false).removed;
        let shared = self.shared();
        shared.closed.send_replace(true);
        shared.queue.close();
        drop((idle, last));
        self.0.lent.reclaim();
        async {
            let _ = timeout(CLOSE_TIMEOUT, shared.census.below(1)).await;
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.pool.is_closed()
    }

    /// A future that resolves when [`close`](Self::close) is called, to end long work in time.
    #[must_use]
    pub fn close_event(&self) -> CloseEvent {
        CloseEvent::new(&self.0.pool.manager().shared.closed)
    }

    /// Connections that are open, in use or idle.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.pool.status().size).unwrap_or(u32::MAX)
    }

    /// Connections that are open and unused.
    #[must_use]
    pub fn num_idle(&self) -> usize {
        self.0.pool.status().available
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &PoolOptions<DB> {
        &self.0.pool.manager().shared.options
    }

    /// sqlx's options of new connections, with the TLS settings that the login asked for, and
    /// without the login.
    #[must_use]
    pub fn connect_options(&self) -> Arc<OptionsOf<DB>> {
        Arc::new(self.0.pool.manager().connect_options())
    }

    /// Leads new connections elsewhere; those that are open stay as they are.
    ///
    /// Logins come from where they came before: only sqlx's own options are replaced.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; the old ones stay. sqlx returns nothing here.
    pub fn set_connect_options(&self, options: OptionsOf<DB>) -> Result<(), ConfigError> {
        self.0.pool.manager().set_connect_options(options)
    }

    pub(crate) fn shared(&self) -> &Shared<DB> {
        &self.0.pool.manager().shared
    }

    pub(crate) fn connector(&self) -> Result<Connector<DB>, ConfigError> {
        self.0.pool.manager().connector()
    }

    pub(crate) fn lent(&self) -> &Lent<DB> {
        &self.0.lent
    }

    /// Opens `min_connections`, and one in any case, to see that it works.
    pub(crate) async fn fill(&self) -> Result<(), sqlx::Error> {
        let options = self.options();
        let deadline = deadline::of(Instant::now(), options.acquire_timeout);
        keeper::fill(&self.0.pool, options.min_connections.max(1), deadline).await?;
        if options.keeps_none_idle() {
            manager::sweep(&self.0.pool);
        }
        Ok(())
    }

    /// Sees to it that somebody keeps house.
    pub(crate) fn ensure_keeper(&self) {
        self.0.keeper.ensure(&self.0.pool);
    }

    fn note_time(&self, took: Duration) {
        let options = self.options();
        let slow = options.acquire_slow_threshold;
        if took > slow && options.acquire_slow_level != LevelFilter::Off {
            telemetry::acquired(options.acquire_slow_level, took, Some(slow));
        } else if options.acquire_time_level != LevelFilter::Off {
            telemetry::acquired(options.acquire_time_level, took, None);
        }
    }

    fn note_timeout(&self, took: Duration) {
        let status = self.0.pool.status();
        telemetry::acquire_timed_out(took, status.size, status.available, status.waiting);
    }
}

/// What deadpool gives out.
type Got<DB> = Result<Object<Manager<DB>>, PoolError<sqlx::Error>>;

trait Get<DB: Engine>: Future<Output = Got<DB>> {}

impl<DB: Engine, F: Future<Output = Got<DB>>> Get<DB> for F {}

impl<DB: Engine> Drop for Inner<DB> {
    fn drop(&mut self) {
        // A pool that nobody can use any more is closed, as sqlx's is.
        self.pool.manager().shared.closed.send_replace(true);
    }
}

impl<DB: Engine> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<DB: Engine> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("system", &DB::SYSTEM)
            .field("database", &<DB as Database>::NAME)
            .field("size", &self.size())
            .field("num_idle", &self.num_idle())
            .field("is_closed", &self.is_closed())
            .field("options", self.options())
            .finish_non_exhaustive()
    }
}
