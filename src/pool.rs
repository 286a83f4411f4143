//! The pool: sqlx's calls over deadpool's accounting.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Object, PoolError, QueueMode, TimeoutType, Timeouts};
use sqlx::Database;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect_options::ConnectOptions;
use crate::connection::PoolConnection;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::manager::{self, ManagedConnection, Manager};
use crate::options::PoolOptions;
use crate::telemetry;

/// How long [`Pool::close`] waits for connections that are out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an acquire that waits looks for connections that are held by nobody.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// A pool of connections that log in with the current login; a stand-in for [`sqlx::Pool`].
///
/// `&Pool` is an [`sqlx::Executor`] and an [`sqlx::Acquire`], so that queries, transactions and
/// migrations run on it as on sqlx's own pool. Clones are handles to the same pool.
pub struct Pool<DB: Engine>(Arc<Shared<DB>>);

struct Shared<DB: Engine> {
    pool: managed::Pool<Manager<DB>>,
    options: PoolOptions<DB>,
}

impl<DB: Engine> Shared<DB> {
    async fn get(&self) -> Result<Object<Manager<DB>>, PoolError<sqlx::Error>> {
        const AT_ONCE: Timeouts = Timeouts {
            wait: Some(Duration::ZERO),
            create: None,
            recycle: None,
        };
        match self.pool.timeout_get(&AT_ONCE).await {
            Err(PoolError::Timeout(TimeoutType::Wait)) => {}
            got => return got,
        }
        let mut waiting = pin!(self.pool.get());
        loop {
            // Nobody tells when a runtime ends under a transaction, so whoever waits looks.
            self.pool.manager().lent.reclaim();
            if let Ok(got) = timeout(RECLAIM_INTERVAL, &mut waiting).await {
                return got;
            }
        }
    }
}

impl<DB: Engine> Pool<DB> {
    /// Opens a pool with default settings and one connection; see [`PoolOptions::connect`].
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::connect`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        PoolOptions::new().connect(url).await
    }

    /// Makes a pool with default settings; see [`PoolOptions::connect_lazy`].
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::connect_lazy`].
    pub fn connect_lazy(url: &str) -> Result<Self, sqlx::Error> {
        PoolOptions::new().connect_lazy(url)
    }

    /// A connection of one's own, until it is dropped.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] when no connection became free within
    /// [`acquire_timeout`](PoolOptions::acquire_timeout), [`sqlx::Error::PoolClosed`], and, when
    /// a new connection had to be opened, the last error of doing so.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the place in the queue is given up, and a half-open connection is dropped.
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<DB>, sqlx::Error>> + Send + 'static {
        let pool = self.clone();
        async move {
            let started = Instant::now();
            let deadline = started + pool.0.options.acquire_timeout;
            let got = timeout_at(deadline, manager::by(deadline, pool.0.get())).await;
            match got {
                Ok(Ok(object)) => Ok(PoolConnection::new(object, pool.0.pool.clone())),
                Ok(Err(PoolError::Backend(error))) => Err(error),
                Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
                Ok(Err(_)) | Err(_) => {
                    let status = pool.0.pool.status();
                    telemetry::acquire_timed_out(
                        started.elapsed(),
                        status.size,
                        status.available,
                        status.waiting,
                    );
                    Err(sqlx::Error::PoolTimedOut)
                }
            }
        }
    }

    /// Closes the pool: waiters get [`sqlx::Error::PoolClosed`], idle connections say goodbye to
    /// the server, and those that are out do so when they come back.
    ///
    /// Returns when none is left, or after 30 s.
    ///
    /// # Cancel safety
    ///
    /// The pool is closed once the future has been polled; dropping it then only stops the waiting.
    pub async fn close(&self) {
        let idle = self.0.pool.retain(|_, _| false).removed;
        self.0.pool.close();
        self.manager().lent.reclaim();
        idle.into_iter().for_each(ManagedConnection::say_goodbye);
        let _ = timeout(CLOSE_TIMEOUT, self.manager().none_open()).await;
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.pool.is_closed()
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
        &self.0.options
    }

    pub(crate) fn manager(&self) -> &Manager<DB> {
        self.0.pool.manager()
    }
}

impl<DB: Engine> PoolOptions<DB> {
    /// Opens a pool, and one connection to see that it works.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example() -> Result<(), sqlx::Error> {
    /// use sqlx_rds::PgPoolOptions;
    ///
    /// let pool = PgPoolOptions::new()
    ///     .max_connections(5)
    ///     .connect("postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Configuration`] around a [`ConfigError`], and those of [`Pool::acquire`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect(self, url: &str) -> Result<Pool<DB>, sqlx::Error> {
        self.connect_with(url.parse::<ConnectOptions<DB>>()?).await
    }

    /// As [`connect`](Self::connect), with options that were built elsewhere, sqlx's own among
    /// them.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect_with(
        self,
        options: impl Into<ConnectOptions<DB>>,
    ) -> Result<Pool<DB>, sqlx::Error> {
        let pool = self.connect_lazy_with(options)?;
        drop(pool.acquire().await?);
        Ok(pool)
    }

    /// Makes a pool that opens its first connection when it is needed.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Configuration`] around a [`ConfigError`].
    pub fn connect_lazy(self, url: &str) -> Result<Pool<DB>, sqlx::Error> {
        Ok(self.connect_lazy_with(url.parse::<ConnectOptions<DB>>()?)?)
    }

    /// As [`connect_lazy`](Self::connect_lazy), with options that were built elsewhere.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for what cannot work.
    pub fn connect_lazy_with(
        self,
        options: impl Into<ConnectOptions<DB>>,
    ) -> Result<Pool<DB>, ConfigError> {
        self.build(Connector::new(options)?)
    }

    /// Makes a pool over a connector, which several pools may share with its login.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for a setting that cannot be 0.
    pub fn build(self, connector: Connector<DB>) -> Result<Pool<DB>, ConfigError> {
        self.check()?;
        let manager = Manager::with_limits(connector, self.limits);
        let pool = managed::Pool::builder(manager)
            .max_size(self.max_connections as usize)
            // Last in, first out: what is not needed stays unused and can be let go.
            .queue_mode(QueueMode::Lifo)
            .build();
        match pool {
            Ok(pool) => Ok(Pool(Arc::new(Shared {
                pool,
                options: self,
            }))),
            // deadpool's only reason is a timeout without a runtime, and no timeout is set.
            Err(error) => unreachable!("{error}"),
        }
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
            .finish_non_exhaustive()
    }
}
