//! `sqlx_pool`: a pool of sqlx's own type, whose connections log in with the current login.

use std::future::ready;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::hooks::{Hooks, PoolConnectionMetadata};
use crate::options::PoolOptions;
use crate::pool::{BARE, Pool};
use crate::stub::Stub;

impl<DB: Engine> Connector<DB> {
    /// A genuine [`sqlx::Pool`] whose every new connection logs in with the current login, for code
    /// that names the type: sea-orm, session stores, `PgListener`, `&PgPool` in a signature.
    ///
    /// Nothing is connected yet. Each connection that sqlx's pool opens, whenever and for whatever
    /// reason, is made by this connector, with all that [`connect`](Self::connect) does about
    /// logins, TLS and servers that are not ready. From then on it is sqlx's alone. Callbacks of
    /// `options` are given the real connection, and an error of `after_connect` is the caller's.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example() -> Result<(), sqlx::Error> {
    /// use sqlx::postgres::PgListener;
    /// use sqlx_rds::{ConnectOptions, Connector, PgPoolOptions};
    ///
    /// let options: ConnectOptions<sqlx::Postgres> =
    ///     "postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders".parse()?;
    /// let pool: sqlx::PgPool =
    ///     Connector::new(options)?.sqlx_pool(PgPoolOptions::new().max_connections(2))?;
    /// let mut listener = PgListener::connect_with(&pool).await?;
    /// listener.listen("orders").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Limits
    ///
    /// - It counts its own connections: `max_connections` of it and of every [`Pool`] on the same
    ///   connector add up.
    /// - What sqlx 0.9.0's pool does, it does: pings have no timeout of their own, dropping a
    ///   connection outside a runtime panics, and age and idle time are read off a clock that stands
    ///   still while AWS Lambda is frozen. `Pool` has none of these.
    /// - A cancelled `begin` loses no data, as it can in sqlx's pool by itself (sqlx issue 4385),
    ///   because every connection that comes back is rolled back, before `after_release` sees it:
    ///   a round trip beside the ping that sqlx sends then. `Pool` needs neither for what came back
    ///   in order.
    /// - `ping_after` and `ping_timeout` have no meaning for it: sqlx pings at each acquire, or not
    ///   at all without `test_before_acquire`, and after each use.
    /// - It is lazy, and sqlx opens the `min_connections` of a lazy pool only when it has lost one.
    /// - It belongs to the tokio runtime in which it was made: its new connections are opened
    ///   there, and none can be opened when that runtime has ended.
    /// - sqlx dials a Unix socket of this process, in a directory below the one for temporary files,
    ///   which must stay there; where none can be made, a loopback port. So `connect_options()` of the pool shows that one
    ///   and not the database; and `set_connect_options()` must not be used: it would send sqlx
    ///   elsewhere, where nothing logs in, and fail every connect.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Configuration`] around a [`ConfigError`] for settings that cannot work and
    /// outside a tokio runtime, and [`sqlx::Error::Io`] when no socket can be made, neither a Unix
    /// socket in the directory for temporary files nor a loopback port.
    ///
    /// A connect of the pool that fails gives the server's own error, at once where waiting cannot
    /// help. What no server said (no login, no trust, no answer) has the form of a server's error
    /// too: SQLSTATE `08001` or `08006` in PostgreSQL, a number from 2000 to 2061 in MySQL, and the
    /// text of the error with its causes. PostgreSQL's `53300` and `57P03`, after this connector
    /// has waited for as long as it may, become `53000` and `08001`, since sqlx would try again
    /// until it could tell only of a timeout. [`ErrorKind::of`](crate::ErrorKind::of) reads the
    /// kind off all of them.
    ///
    /// Connecting ends by `connect_timeout`, and a little before `acquire_timeout`, so that its
    /// error is heard before sqlx's [`PoolTimedOut`](sqlx::Error::PoolTimedOut).
    ///
    /// # Panics
    ///
    /// When the current tokio runtime has its I/O switched off, as tokio's sockets do.
    ///
    /// # Cancel safety
    ///
    /// An acquire that is cancelled while it connects leaves nothing behind: the half-open
    /// connection is dropped, and one that was just finished says goodbye to the server. For the
    /// rest see sqlx.
    pub fn sqlx_pool(&self, options: PoolOptions<DB>) -> Result<sqlx::Pool<DB>, sqlx::Error> {
        open(self.clone(), &options)
    }
}

impl<DB: Engine> Pool<DB> {
    /// A genuine [`sqlx::Pool`] over this pool's connector, with connections and settings of its
    /// own; see [`Connector::sqlx_pool`]. It goes on leading there when
    /// [`set_connect_options`](Self::set_connect_options) leads this one elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Connector::sqlx_pool`].
    ///
    /// # Panics
    ///
    /// As [`Connector::sqlx_pool`].
    pub fn sqlx_pool(&self, options: PoolOptions<DB>) -> Result<sqlx::Pool<DB>, sqlx::Error> {
        self.connector()?.sqlx_pool(options)
    }
}

fn open<DB: Engine>(
    connector: Connector<DB>,
    options: &PoolOptions<DB>,
) -> Result<sqlx::Pool<DB>, sqlx::Error> {
    options.check()?;
    if connector.given().loses_statements() {
        return Err(ConfigError::Conflict(BARE).into());
    }
    Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
    let stub = Stub::<DB>::open()?;
    let parked = stub.parked();
    let pool = as_sqlx(options)
        .after_connect(move |connection, _| {
            // Never missing; see `Parked`.
            let swapped = match parked.take() {
                Some(real) => {
                    *connection = real;
                    Ok(())
                }
                None => Err(sqlx::Error::WorkerCrashed),
            };
            Box::pin(ready(swapped))
        })
        .connect_lazy_with(stub.options());

    // The app's `after_connect` runs in the stub and not in sqlx's, whose errors sqlx keeps to
    // itself and takes for a reason to try again.
    let after_connect = options.hooks.after_connect.clone();
    let patience = patience(options.acquire_timeout);
    let dial = move || {
        let connector = connector.clone();
        let after_connect = after_connect.clone();
        async move {
            let deadline = Instant::now() + patience;
            let connected = connector
                .connect_by(deadline, after_connect.as_ref(), || false)
                .await;
            connected.map(|(connection, _)| connection)
        }
    };
    // Ends with the pool: sqlx closes one that is dropped.
    stub.start(dial, pool.close_event());
    Ok(pool)
}

/// sqlx's settings for ours, without `after_connect`.
fn as_sqlx<DB: Engine>(options: &PoolOptions<DB>) -> sqlx::pool::PoolOptions<DB> {
    let mut sqlxs = sqlx::pool::PoolOptions::new()
        .max_connections(options.max_connections)
        .min_connections(options.min_connections)
        .acquire_timeout(options.acquire_timeout)
        .acquire_time_level(options.acquire_time_level)
        .acquire_slow_level(options.acquire_slow_level)
        .acquire_slow_threshold(options.acquire_slow_threshold)
        .max_lifetime(options.max_lifetime)
        .idle_timeout(options.idle_timeout)
        .test_before_acquire(options.test_before_acquire);
    let Hooks {
        after_connect: _,
        before_acquire,
        after_release,
    } = options.hooks.clone();
    if let Some(hook) = before_acquire {
        sqlxs = sqlxs.before_acquire(move |connection, told| hook(connection, told.into()));
    }
    sqlxs.after_release(move |connection, told| {
        let after_release = after_release.clone();
        Box::pin(async move {
            // sqlx takes a connection back with what a cancelled `begin` has opened on it.
            let cleansed = timeout(CLEANSE_TIMEOUT, DB::cleanse(connection)).await;
            cleansed.map_err(|elapsed| sqlx::Error::Io(elapsed.into()))??;
            match after_release {
                Some(hook) => hook(connection, told.into()).await,
                None => Ok(true),
            }
        })
    })
}

/// How long what was left on a connection may take to clear.
const CLEANSE_TIMEOUT: Duration = Duration::from_secs(5);

impl From<sqlx::pool::PoolConnectionMetadata> for PoolConnectionMetadata {
    fn from(told: sqlx::pool::PoolConnectionMetadata) -> Self {
        Self {
            age: told.age,
            idle_for: told.idle_for,
        }
    }
}

/// How long a connect may take, so that its own error comes before sqlx's timeout.
fn patience(acquire_timeout: Duration) -> Duration {
    acquire_timeout - (acquire_timeout / 10).min(Duration::from_millis(250))
}
