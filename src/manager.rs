//! deadpool's trait over sqlx connections: create, vet for reuse, let go.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult, Timeouts};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::time::Instant;

use crate::connector::Connector;
use crate::deadline;
use crate::engine::{Engine, OptionsOf};
use crate::error::ConfigError;
use crate::hooks::{Hook, PoolConnectionMetadata};
use crate::managed::{Managed, ManagedConnection, State};
use crate::options::PoolOptions;
use crate::quota::Member;
use crate::random;
use crate::shared::Shared;
use crate::target::Target;
use crate::telemetry::{self, DiscardReason};

/// For a `get` that does not wait for a place.
pub(crate) const AT_ONCE: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};

/// How a `get` is meant: deadpool's `create` and `recycle` take no argument.
#[derive(Clone, Copy)]
enum Get {
    /// Its connection must be there by then. Cutting `create` off from outside would lose the error
    /// that explains the delay. A server that is full is waited for only while the pool has no
    /// other connection.
    By(Instant),
    /// The same, and a server that is full is waited for in any case.
    More(Instant),
    /// Only what is idle will do, and nothing is waited for.
    Idle,
}

tokio::task_local! {
    static GET: Get;
}

/// Runs a `get` whose connects keep to `deadline`.
pub(crate) async fn by<F: Future>(deadline: Instant, get: F) -> F::Output {
    GET.scope(Get::By(deadline), get).await
}

/// Runs a `get` that is to open one more connection, by `deadline`.
pub(crate) async fn one_more_by<F: Future>(deadline: Instant, get: F) -> F::Output {
    GET.scope(Get::More(deadline), get).await
}

/// An idle connection, where there is one; neither pinged nor shown to `before_acquire`.
pub(crate) fn take_idle<DB: Engine>(
    pool: &managed::Pool<Manager<DB>>,
) -> Option<Object<Manager<DB>>> {
    GET.sync_scope(Get::Idle, || pool.timeout_get(&AT_ONCE).now_or_never())?
        .ok()
}

/// Lets go of idle connections that are not fit for use.
pub(crate) fn sweep<DB: Engine>(pool: &managed::Pool<Manager<DB>>) {
    let shared = &pool.manager().shared;
    let now = shared.clock.now();
    if shared.options.keeps_none_idle() {
        // Less those that are as good as taken.
        let mut spare = pool.status().available;
        let removed = pool.retain(|_, _| {
            let keep = spare == 0;
            spare = spare.saturating_sub(1);
            keep
        });
        for connection in removed.removed {
            telemetry::discarded(DiscardReason::Idle, connection.managed.generation);
        }
        return;
    }
    // The removed ones say goodbye when they are dropped, here, with no lock held.
    for connection in pool
        .retain(|kept, _| kept.managed.flaw(&kept.managed.metadata(now)).is_none())
        .removed
    {
        let managed = &connection.managed;
        if let Some(reason) = managed.flaw(&managed.metadata(now)) {
            telemetry::discarded(reason, managed.generation);
        }
    }
}

/// Lets go of idle connections after the server was full, so that others get a share of it. Returns
/// how many are left.
pub(crate) fn make_room<DB: Engine>(pool: &managed::Pool<Manager<DB>>) -> usize {
    let shared = &pool.manager().shared;
    let mut idle = 0;
    pool.retain(|_, _| {
        idle += 1;
        true
    });
    let open = shared.live.load(Ordering::Relaxed);
    let limit = {
        let mut ceiling = shared.ceiling();
        ceiling.full(open, open.saturating_sub(idle), shared.clock.now())
    };
    let mut surplus = open.saturating_sub(limit);
    let removed = pool.retain(|_, _| {
        let keep = surplus == 0;
        surplus = surplus.saturating_sub(1);
        keep
    });
    telemetry::full(open, limit);
    open - removed.removed.len()
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
pub struct Manager<DB: Engine> {
    target: RwLock<Target<DB>>,
    pub(crate) shared: Arc<Shared<DB>>,
    /// At most this many are open at the server at once, those that say goodbye among them.
    max_open: usize,
    /// The part in what several pools share; only this crate's pool has one.
    member: Option<Member>,
}

impl<DB: Engine> Manager<DB> {
    /// A manager with the limits that [`PoolOptions`](crate::PoolOptions) documents as defaults;
    /// deadpool's pool has a size of its own.
    #[must_use]
    pub fn new(connector: Connector<DB>) -> Self {
        Self::holding(Target::new(connector), PoolOptions::new(), usize::MAX)
    }

    pub(crate) fn with_options(target: Target<DB>, options: PoolOptions<DB>) -> Self {
        let max_open = options.max_connections as usize;
        let guaranteed = options.guaranteed_connections;
        let mut this = Self::holding(target, options, max_open);
        let target = this
            .target
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let checked = target.check(&this.shared.options);
        match checked.and_then(|()| target.join(guaranteed)) {
            Ok(member) => this.member = member,
            Err(error) => target.connector = Err(error),
        }
        this
    }

    fn holding(target: Target<DB>, options: PoolOptions<DB>, max_open: usize) -> Self {
        let shared = Shared::new(&target.options, options, max_open);
        Self {
            target: RwLock::new(target),
            shared: Arc::new(shared),
            max_open,
            member: None,
        }
    }

    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    pub(crate) fn connector(&self) -> Result<Connector<DB>, ConfigError> {
        self.target().connector
    }

    pub(crate) fn connect_options(&self) -> OptionsOf<DB> {
        let target = self.target();
        match target.connector {
            Ok(connector) => connector.options().clone(),
            Err(_) => target.options.options,
        }
    }

    /// Leads new connections elsewhere, with logins from where they came before.
    pub(crate) fn set_connect_options(&self, to: OptionsOf<DB>) -> Result<(), ConfigError> {
        let options = self.target().options.map(|_| to);
        let target = Target::new(Connector::new(options)?);
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = target;
        Ok(())
    }

    fn target(&self) -> Target<DB> {
        self.target
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn open_unless_closed(&self, deadline: Instant) -> Result<Managed<DB>, sqlx::Error> {
        let mut closed = self.shared.closed.subscribe();
        let closed = pin!(closed.wait_for(|closed| *closed));
        match select(closed, pin!(self.open(deadline))).await {
            Either::Left(_) => Err(sqlx::Error::PoolClosed),
            Either::Right((opened, _)) => opened,
        }
    }

    async fn open(&self, deadline: Instant) -> Result<Managed<DB>, sqlx::Error> {
        let shared = &*self.shared;
        let Shared {
            options,
            epochs,
            census,
            queue,
            ..
        } = shared;
        let _served = queue.serve();
        let connector = self.connector()?;
        let ceiling = shared.ceiling().limit(shared.clock.now());
        if ceiling < self.max_open && census.count() >= ceiling {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let epoch = epochs.now();
        let mut presence = census.enter(self.max_open).await;
        if let Some(member) = &self.member {
            // As where the ceiling says no: whoever waits is told when there is room.
            presence.hold(Some(member.take().ok_or(sqlx::Error::PoolTimedOut)?));
        }
        // Only this crate's pool knows how to.
        let may_make_do =
            self.max_open < usize::MAX && !matches!(GET.try_with(|get| *get), Ok(Get::More(_)));
        let opened = connector.connect_by(deadline, options.hooks.after_connect.as_ref(), || {
            may_make_do && shared.live.load(Ordering::Relaxed) > 0
        });
        let (connection, login) = opened.await?;
        shared.logged_in(login.as_deref());
        Ok(Managed::new(
            connection,
            presence,
            Arc::clone(&self.shared),
            epoch,
            login.map_or(0, |login| login.generation()),
            options.max_lifetime.map(shortened),
            connector.verifies_writer(),
        ))
    }
}

/// A lifetime up to 10 % shorter, so that a crowd that came together does not go together.
fn shortened(lifetime: Duration) -> Duration {
    lifetime.mul_f64(1.0 - random::fraction() / 10.0)
}

impl<DB: Engine> managed::Manager for Manager<DB> {
    type Type = ManagedConnection<DB>;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<ManagedConnection<DB>, sqlx::Error> {
        let deadline = match GET.try_with(|get| *get) {
            Ok(Get::By(deadline) | Get::More(deadline)) => deadline,
            Ok(Get::Idle) => return Err(sqlx::Error::PoolTimedOut),
            Err(_) => deadline::of(Instant::now(), self.shared.options.acquire_timeout),
        };
        // Boxed, for it is large, and the future of every `get` would be as large.
        let managed = Box::pin(self.open_unless_closed(deadline)).await?;
        Ok(ManagedConnection {
            managed: Box::new(managed),
        })
    }

    /// deadpool drops what this refuses, and its error with it: it is traced here.
    async fn recycle(
        &self,
        connection: &mut ManagedConnection<DB>,
        _: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        let connection = &mut *connection.managed;
        match self.vet(connection).await {
            Ok(()) => Ok(()),
            Err(reason) => {
                connection.state = State::Unfit(reason);
                telemetry::discarded(reason, connection.generation);
                Err(RecycleError::message(reason.as_str()))
            }
        }
    }
}

impl<DB: Engine> Manager<DB> {
    /// Whether an idle connection may be handed out.
    async fn vet(&self, connection: &mut Managed<DB>) -> Result<(), DiscardReason> {
        let options = &self.shared.options;
        let now = self.shared.clock.now();
        let metadata = connection.metadata(now);
        if let Some(flaw) = connection.flaw(&metadata) {
            return Err(flaw);
        }
        let idle_for = metadata.idle_for;
        let clean = connection.state == State::Clean;
        let pings = options.test_before_acquire && idle_for >= options.ping_after;
        let hook = options.hooks.before_acquire.as_ref();
        let asks = pings || !clean || connection.verifies_writer(now);
        if !asks && hook.is_none() {
            return Ok(());
        }
        if GET.try_with(|get| matches!(get, Get::Idle)) == Ok(true) {
            return if clean {
                Ok(())
            } else {
                Err(DiscardReason::Unclean)
            };
        }
        // Boxed for the same reason as a connect.
        Box::pin(async {
            let _served = self.shared.queue.serve();
            if asks {
                connection.prove(now, options.ping_timeout).await?;
                telemetry::recycled(idle_for);
            }
            match hook {
                Some(before_acquire) => show(connection, before_acquire, metadata).await,
                None => Ok(()),
            }
        })
        .await
    }
}

/// Asks the app whether it wants to work with the connection.
async fn show<DB: Engine>(
    connection: &mut Managed<DB>,
    before_acquire: &Hook<DB, bool>,
    metadata: PoolConnectionMetadata,
) -> Result<(), DiscardReason> {
    match before_acquire(connection.raw(), metadata).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(DiscardReason::Rejected),
        Err(error) => {
            telemetry::callback_failed("before_acquire", &error);
            Err(DiscardReason::Unclean)
        }
    }
}

impl<DB: Engine> fmt::Debug for Manager<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("connector", &self.target().connector)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spread_below_their_limit() {
        let limit = Duration::from_secs(1_000);
        let drawn: Vec<_> = (0..1_000).map(|_| shortened(limit)).collect();
        assert!(
            drawn
                .iter()
                .all(|&drawn| drawn <= limit && drawn > limit * 9 / 10)
        );
        let spread = drawn
            .iter()
            .max()
            .unwrap()
            .saturating_sub(*drawn.iter().min().unwrap());
        assert!(spread > limit / 20, "{spread:?}");
    }
}
