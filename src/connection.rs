//! A connection on loan from a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Object;
use futures_core::future::BoxFuture;
use sqlx::{Acquire, Connection, Transaction};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::epoch::{Doubt, Epoch};
use crate::hooks::{Hook, PoolConnectionMetadata};
use crate::kind::ErrorKind;
use crate::managed::{Managed, State};
use crate::manager::{self, Manager};
use crate::shared::Shared;
use crate::telemetry::{self, DiscardReason};

/// How long what a dropped query or transaction left on a connection may take to clear.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that goes back to its [`Pool`](crate::Pool) when it is dropped.
///
/// It derefs to sqlx's connection. Dropping it never blocks and never panics. Whoever had the sqlx
/// connection in hand may have left answers unread or a transaction open, so a task clears that
/// with one round trip, while the connection stays counted; a dropped transaction's locks never
/// wait for the next user. What cannot be proven clean is closed, as is what cannot be
/// cleared outside a runtime.
pub struct PoolConnection<DB: Engine> {
    /// Empty only while it is dropped or taken apart.
    object: Option<Object<Manager<DB>>>,
}

impl<DB: Engine> PoolConnection<DB> {
    pub(crate) fn new(object: Object<Manager<DB>>) -> Self {
        Self {
            object: Some(object),
        }
    }

    /// Closes the connection instead of giving it back; the pool may open another when it is gone.
    ///
    /// # Errors
    ///
    /// Those of saying goodbye to the server, which may take a second. The connection is gone all
    /// the same.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connection is dropped.
    pub async fn close(mut self) -> Result<(), sqlx::Error> {
        self.managed().close().await
    }

    /// Closes the connection when it is dropped, instead of giving it back. The server is told in a
    /// task.
    pub fn close_on_drop(&mut self) {
        self.managed().state = State::Unfit(DiscardReason::Closed);
    }

    /// Takes the connection out of the pool, which may then open another.
    #[must_use]
    pub fn detach(mut self) -> DB::Connection {
        // The place is given up when `self` is dropped.
        self.managed().take()
    }

    /// Takes the connection for good, and its place in the pool with it: the pool can hold one
    /// connection fewer from then on.
    #[must_use]
    pub fn leak(mut self) -> DB::Connection {
        let connection = self.managed().take();
        // An object that is never dropped is never given back, which is what is asked for.
        std::mem::forget(self.object.take());
        connection
    }

    pub(crate) fn managed(&mut self) -> &mut Managed<DB> {
        match &mut self.object {
            Some(object) => &mut object.managed,
            None => unreachable!("{TAKEN}"),
        }
    }

    /// What to raise if the connection turns out dead while somebody else holds it.
    pub(crate) fn suspicion(&mut self) -> Suspicion<DB> {
        let connection = self.managed();
        Suspicion {
            epoch: connection.epoch,
            shared: Arc::clone(&connection.shared),
        }
    }

    /// Judges the connection by how its work ended and by what the work may have left open.
    pub(crate) fn settle<T>(&mut self, result: &Result<T, sqlx::Error>, leaves: Leaves) {
        let connection = self.managed();
        match result {
            Ok(_) if leaves == Leaves::Nothing => connection.proven(),
            Ok(_) => connection.state = State::Dirty,
            Err(error) => match ErrorKind::of(error) {
                ErrorKind::Disconnected => connection.doubt(Doubt::Life),
                ErrorKind::ReadOnly => connection.doubt(Doubt::Writer),
                // The answer may not have been read to its end.
                _ => connection.state = State::Dirty,
            },
        }
    }
}

/// What work may leave on a connection, beside answers that were not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing.
    Nothing,
    /// An open transaction.
    Transaction,
}

const TAKEN: &str = "only `drop` and `leak` take the object, and both end its holder";

/// Remembers what a connection's death would say about others.
pub(crate) struct Suspicion<DB: Engine> {
    epoch: Epoch,
    shared: Arc<Shared<DB>>,
}

impl<DB: Engine> Suspicion<DB> {
    pub(crate) fn raise(self) {
        self.shared.epochs.end(self.epoch, Doubt::Life);
    }
}

impl<DB: Engine> Drop for PoolConnection<DB> {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else {
            return;
        };
        let state = object.managed.state;
        let after_release = object.managed.shared.options.hooks.after_release.clone();
        let after_release = after_release.filter(|_| !*object.managed.shared.closed.borrow());
        match (state, after_release) {
            (State::Clean, None) => give_back(object),
            (State::Unfit(reason), _) => discard(object, reason),
            (_, after_release) => {
                if after_release.is_some() {
                    // Should the task never run, nobody gets a connection that it has not seen.
                    object.managed.state = State::Unfit(DiscardReason::Unclean);
                }
                match Handle::try_current() {
                    Ok(runtime) => {
                        runtime.spawn(release(object, state, after_release));
                    }
                    Err(_) => discard(object, DiscardReason::Unclean),
                }
            }
        }
    }
}

/// Clears a connection, shows it to `after_release`, and gives it back.
async fn release<DB: Engine>(
    mut object: Object<Manager<DB>>,
    state: State,
    after_release: Option<Hook<DB, bool>>,
) {
    let kept = async {
        if state != State::Clean {
            drain(&mut object.managed).await?;
        }
        match after_release {
            Some(after_release) => show(&mut object.managed, &after_release).await,
            None => Ok(()),
        }
    };
    match kept.await {
        Ok(()) => {
            object.managed.state = State::Clean;
            give_back(object);
        }
        Err(reason) => discard(object, reason),
    }
}

/// Reads what is left on the wire, sends what waits to be sent, and ends what is open.
async fn drain<DB: Engine>(connection: &mut Managed<DB>) -> Result<(), DiscardReason> {
    match timeout(DRAIN_TIMEOUT, DB::cleanse(connection.raw())).await {
        // sqlx would take the next transaction for one inside this.
        Ok(Ok(())) if connection.raw().is_in_transaction() => Err(DiscardReason::Unclean),
        Ok(Ok(())) => {
            connection.epoch = connection.shared.epochs.renew(connection.epoch);
            Ok(())
        }
        Ok(Err(error)) if ErrorKind::of(&error) == ErrorKind::Disconnected => {
            connection.doubt(Doubt::Life);
            Err(DiscardReason::Lost)
        }
        Ok(Err(_)) => Err(DiscardReason::Unclean),
        Err(_) => Err(DiscardReason::Drain),
    }
}

/// Asks the app whether it wants the connection back.
async fn show<DB: Engine>(
    connection: &mut Managed<DB>,
    after_release: &Hook<DB, bool>,
) -> Result<(), DiscardReason> {
    let metadata = PoolConnectionMetadata {
        idle_for: Duration::ZERO,
        ..connection.metadata(connection.shared.clock.now())
    };
    let bound = connection.shared.options.acquire_timeout;
    match timeout(bound, after_release(connection.raw(), metadata)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(DiscardReason::Rejected),
        Ok(Err(error)) => {
            telemetry::callback_failed("after_release", &error);
            Err(DiscardReason::Unclean)
        }
        Err(elapsed) => {
            telemetry::callback_failed("after_release", &elapsed);
            Err(DiscardReason::Unclean)
        }
    }
}

/// deadpool lets go of it where the pool is closed, and it says goodbye.
fn give_back<DB: Engine>(mut object: Object<Manager<DB>>) {
    let now = object.managed.shared.clock.now();
    object.managed.idle_since = now;
    let shared = &object.managed.shared;
    if shared.options.keeps_none_idle() && !is_waited_for(&object) {
        return discard(object, DiscardReason::Idle);
    }
    if shared.retires(object.managed.generation) {
        return discard(object, DiscardReason::Generation);
    }
    let due = shared.sweep_is_due(now);
    let pool = due.then(|| Object::pool(&object)).flatten();
    let waited_for = waited_for(&object);
    drop(object);
    if let Some(shared) = waited_for {
        shared.queue.came_back();
    }
    if let Some(pool) = pool {
        manager::sweep(&pool);
    }
}

fn is_waited_for<DB: Engine>(object: &Object<Manager<DB>>) -> bool {
    Object::pool(object).is_some_and(|pool| pool.status().waiting > 0)
}

/// Gives up the connection's place; how it says goodbye depends on its state.
fn discard<DB: Engine>(mut object: Object<Manager<DB>>, reason: DiscardReason) {
    object.managed.state = State::Unfit(reason);
    telemetry::discarded(reason, object.managed.generation);
    let waited_for = waited_for(&object);
    drop(Object::take(object));
    if let Some(shared) = waited_for {
        shared.queue.came_back();
    }
}

/// Where to tell that a connection came back. Who begins to wait just now looks again soon.
fn waited_for<DB: Engine>(object: &Object<Manager<DB>>) -> Option<Arc<Shared<DB>>> {
    let shared = &object.managed.shared;
    shared
        .queue
        .is_anybody_turned_away()
        .then(|| Arc::clone(shared))
}

impl<DB: Engine> Deref for PoolConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.object {
            Some(object) => object,
            None => unreachable!("{TAKEN}"),
        }
    }
}

impl<DB: Engine> DerefMut for PoolConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.managed().lend()
    }
}

impl<DB: Engine> AsRef<DB::Connection> for PoolConnection<DB> {
    fn as_ref(&self) -> &DB::Connection {
        self
    }
}

impl<DB: Engine> AsMut<DB::Connection> for PoolConnection<DB> {
    fn as_mut(&mut self) -> &mut DB::Connection {
        self
    }
}

impl<'c, DB: Engine> Acquire<'c> for &'c mut PoolConnection<DB> {
    type Database = DB;
    type Connection = &'c mut DB::Connection;

    fn acquire(self) -> BoxFuture<'c, Result<Self::Connection, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(&mut **self)))
    }

    fn begin(self) -> BoxFuture<'c, Result<Transaction<'c, DB>, sqlx::Error>> {
        Transaction::begin(&mut **self, None)
    }
}

impl<DB: Engine> fmt::Debug for PoolConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConnection").finish_non_exhaustive()
    }
}
