//! deadpool's trait over sqlx connections: create, vet for reuse, let go.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use sqlx::Connection;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock::{Clock, Moment};
use crate::connector::Connector;
use crate::engine::Engine;
use crate::shell::Shell;
use crate::telemetry::{self, DiscardReason};

tokio::task_local! {
    /// By when the `get` that is running must have its connection: deadpool's `create` takes no
    /// argument, and cutting it off from outside would lose the error that explains the delay.
    static DEADLINE: Instant;
}

/// Runs a `get` whose connects keep to `deadline`.
pub(crate) async fn by<F: Future>(deadline: Instant, get: F) -> F::Output {
    DEADLINE.scope(deadline, get).await
}

/// A deadpool manager whose connections log in with the current login.
///
/// [`Pool`](crate::Pool) is built on it. With deadpool's own pool it is used like this:
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sqlx_rds::{ConnectOptions, Connector, Manager};
///
/// let options: ConnectOptions<sqlx::Postgres> =
///     "postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders".parse()?;
/// let manager = Manager::new(Connector::new(options)?);
/// let pool = deadpool::managed::Pool::builder(manager).max_size(5).build()?;
/// let mut connection = pool.get().await?;
/// sqlx::query("SELECT 1").execute(&mut **connection).await?;
/// # Ok(())
/// # }
/// ```
///
/// There, what a dropped query or transaction left on a connection is cleared only when the
/// connection is next taken; `Pool` clears it at once.
#[derive(Debug)]
pub struct Manager<DB: Engine> {
    connector: Connector<DB>,
    limits: Limits,
    /// Raised when a connection turns out dead: idle ones from before are then dropped unpinged,
    /// so that their ping timeouts do not add up.
    epoch: AtomicU64,
    /// Connections that are open, until their goodbye to the server has ended.
    open: Arc<watch::Sender<usize>>,
}

/// How long a connection may be used and trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) ping_after: Duration,
    pub(crate) ping_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            ping_after: Duration::from_millis(100),
            ping_timeout: Duration::from_secs(2),
        }
    }
}

impl<DB: Engine> Manager<DB> {
    /// A manager with the limits that [`PoolOptions`](crate::PoolOptions) documents as defaults.
    #[must_use]
    pub fn new(connector: Connector<DB>) -> Self {
        Self::with_limits(connector, Limits::default())
    }

    pub(crate) fn with_limits(connector: Connector<DB>, limits: Limits) -> Self {
        Self {
            connector,
            limits,
            epoch: AtomicU64::new(0),
            open: Arc::default(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.connector.clock()
    }

    /// Waits until no connection is open.
    pub(crate) async fn none_open(&self) {
        // Cannot fail: `self` holds the sending half.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// The server was heard just now.
    pub(crate) fn proven(&self, connection: &mut ManagedConnection<DB>) {
        connection.state = State::Clean;
        connection.epoch = self.epoch.load(Ordering::Relaxed);
    }

    /// A connection is dead, or its server is not the writer any more: those of its age are
    /// suspected too.
    pub(crate) fn suspect(&self, connection: &mut ManagedConnection<DB>) {
        connection.state = State::Unfit(DiscardReason::Epoch);
        // Only the first of a crowd raises it, or its successors would suspect each other's
        // replacements.
        let _ = self.epoch.compare_exchange(
            connection.epoch,
            connection.epoch + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Why a connection is not fit for use, as far as that shows without asking the server.
    fn flaw(&self, connection: &ManagedConnection<DB>, now: Moment) -> Option<DiscardReason> {
        let over = |age: Duration, limit: Option<Duration>| limit.is_some_and(|limit| age > limit);
        if let State::Unfit(reason) = connection.state {
            Some(reason)
        } else if connection.epoch != self.epoch.load(Ordering::Relaxed) {
            Some(DiscardReason::Epoch)
        } else if over(now.since(connection.created), self.limits.max_lifetime) {
            Some(DiscardReason::Lifetime)
        } else if over(now.since(connection.idle_since), self.limits.idle_timeout) {
            Some(DiscardReason::Idle)
        } else {
            None
        }
    }
}

impl<DB: Engine> managed::Manager for Manager<DB> {
    type Type = ManagedConnection<DB>;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<ManagedConnection<DB>, sqlx::Error> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let deadline = DEADLINE
            .try_with(|deadline| *deadline)
            .unwrap_or_else(|_| Instant::now() + self.connector.connect_timeout());
        let (connection, generation) = self.connector.connect_by(deadline).await?;
        let now = self.clock().now();
        Ok(ManagedConnection {
            connection,
            created: now,
            idle_since: now,
            generation,
            epoch,
            state: State::Clean,
            shell: None,
            presence: Presence::new(&self.open),
        })
    }

    /// deadpool drops what this refuses, and its error with it: it is traced here.
    async fn recycle(
        &self,
        connection: &mut ManagedConnection<DB>,
        _: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        let now = self.clock().now();
        if let Some(reason) = self.flaw(connection, now) {
            telemetry::discarded(reason, connection.generation);
            return Err(RecycleError::message(reason.as_str()));
        }
        let idle_for = now.since(connection.idle_since);
        if connection.state == State::Clean && idle_for < self.limits.ping_after {
            return Ok(());
        }
        match timeout(self.limits.ping_timeout, connection.connection.ping()).await {
            Ok(Ok(())) => {
                telemetry::recycled(idle_for);
                self.proven(connection);
                Ok(())
            }
            _ => {
                self.suspect(connection);
                telemetry::discarded(DiscardReason::Ping, connection.generation);
                Err(RecycleError::message(DiscardReason::Ping.as_str()))
            }
        }
    }
}

/// A sqlx connection with what the pool remembers of it. It derefs to the connection.
pub struct ManagedConnection<DB: Engine> {
    pub(crate) connection: DB::Connection,
    created: Moment,
    pub(crate) idle_since: Moment,
    pub(crate) generation: u64,
    epoch: u64,
    pub(crate) state: State,
    pub(crate) shell: Option<Shell<DB>>,
    pub(crate) presence: Presence,
}

/// Counts a connection as open for as long as it lives.
pub(crate) struct Presence(Arc<watch::Sender<usize>>);

impl Presence {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// What is known of the conversation with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is left on the wire and no transaction is open.
    Clean,
    /// It was lent out: answers may be unread and a rollback unsent. A ping clears that.
    Dirty,
    /// It must not be used again.
    Unfit(DiscardReason),
}

impl<DB: Engine> Deref for ManagedConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Engine> DerefMut for ManagedConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        if self.state == State::Clean {
            self.state = State::Dirty;
        }
        &mut self.connection
    }
}

impl<DB: Engine> fmt::Debug for ManagedConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedConnection")
            .field("generation", &self.generation)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
