//! deadpool's trait over sqlx connections: create, vet for reuse, let go.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock::{Clock, Moment};
use crate::connector::Connector;
use crate::engine::Engine;
use crate::epoch::{Doubt, Epoch, Epochs};
use crate::shell::{Lent, Shell};
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
/// use deadpool::managed::Pool;
/// use sqlx_rds::{ConnectOptions, Connector, Manager};
///
/// let options: ConnectOptions<sqlx::Postgres> =
///     "postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders".parse()?;
/// let manager = Manager::new(Connector::new(options)?);
/// let pool: Pool<Manager<_>> = Pool::builder(manager).max_size(5).build()?;
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
    /// So that ping timeouts do not add up: idle connections from before a failure are dropped
    /// unpinged.
    epochs: Epochs,
    /// Connections that are open, until their goodbye to the server has ended.
    open: Arc<watch::Sender<usize>>,
    /// Connections that are inside transactions.
    pub(crate) lent: Lent<DB>,
    /// When idle connections were last looked through.
    swept: Mutex<Moment>,
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
        let swept = Mutex::new(connector.clock().now());
        Self {
            connector,
            limits,
            epochs: Epochs::default(),
            open: Arc::default(),
            lent: Lent::default(),
            swept,
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

    /// The server was heard just now, and has nothing more to say.
    pub(crate) fn proven(&self, connection: &mut ManagedConnection<DB>) {
        connection.state = State::Clean;
        connection.epoch = self.epochs.renew(connection.epoch);
    }

    /// A connection has failed in a way that throws doubt on others.
    pub(crate) fn doubt(&self, connection: &mut ManagedConnection<DB>, doubt: Doubt) {
        connection.state = State::Unfit(match doubt {
            Doubt::Life => DiscardReason::Lost,
            Doubt::Writer => DiscardReason::Reader,
        });
        self.epochs.end(connection.epoch, doubt);
    }

    pub(crate) fn end_epoch(&self, epoch: Epoch) {
        self.epochs.end(epoch, Doubt::Life);
    }

    /// Whether idle connections should be looked through: at most once a second.
    ///
    /// The pool takes the connection that was used last, so those at the other end are never met
    /// by `recycle`.
    pub(crate) fn sweep_is_due(&self, now: Moment) -> bool {
        // Held for a comparison; who finds it held leaves the sweep to that one.
        let Ok(mut swept) = self.swept.try_lock() else {
            return false;
        };
        let due = now.since(*swept) >= Duration::from_secs(1);
        if due {
            *swept = now;
        }
        due
    }

    pub(crate) fn is_fit(&self, connection: &ManagedConnection<DB>, now: Moment) -> bool {
        self.flaw(connection, now).is_none()
    }

    /// Why a connection is not fit for use, as far as that shows without asking the server.
    fn flaw(&self, connection: &ManagedConnection<DB>, now: Moment) -> Option<DiscardReason> {
        let over = |age: Duration, limit: Option<Duration>| limit.is_some_and(|limit| age > limit);
        if let State::Unfit(reason) = connection.state {
            Some(reason)
        } else if connection.epoch != self.epochs.now() {
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
        let epoch = self.epochs.now();
        let presence = Presence::new(&self.open);
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
            presence,
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
        let vetted = async {
            match connection.state {
                State::Clean => connection.connection.ping().await,
                _ => DB::cleanse(&mut connection.connection).await,
            }
        };
        match timeout(self.limits.ping_timeout, vetted).await {
            Ok(Ok(())) => {
                telemetry::recycled(idle_for);
                self.proven(connection);
                Ok(())
            }
            _ => {
                self.doubt(connection, Doubt::Life);
                telemetry::discarded(DiscardReason::Lost, connection.generation);
                Err(RecycleError::message(DiscardReason::Lost.as_str()))
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
    pub(crate) epoch: Epoch,
    pub(crate) state: State,
    pub(crate) shell: Option<Shell<DB>>,
    presence: Presence,
}

impl<DB: Engine> ManagedConnection<DB> {
    pub(crate) fn into_connection(self) -> DB::Connection {
        self.connection
    }

    /// Tells the server, in a task, that the connection ends; it counts as open until then.
    ///
    /// The server notices a lost socket too, so a goodbye that fails is no matter, and outside a
    /// runtime there is none.
    pub(crate) fn say_goodbye(self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let Self {
            connection,
            presence,
            ..
        } = self;
        runtime.spawn(async move {
            let _ = timeout(GOODBYE_TIMEOUT, connection.close()).await;
            drop(presence);
        });
    }
}

/// How long a goodbye to the server may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts a connection as open for as long as it lives.
struct Presence(Arc<watch::Sender<usize>>);

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
    /// It was lent out: answers may be unread, a rollback unsent, a transaction open.
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
