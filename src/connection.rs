//! A connection on loan from a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{self, Object};
use futures_core::future::BoxFuture;
use sqlx::{Acquire, Connection, Transaction};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::classify::ErrorKind;
use crate::engine::Engine;
use crate::epoch::{Doubt, Epoch};
use crate::manager::{ManagedConnection, Manager, State};
use crate::telemetry::{self, DiscardReason};

/// How long what a dropped query or transaction left on a connection may take to clear.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that goes back to its [`Pool`](crate::Pool) when it is dropped.
///
/// It derefs to sqlx's connection. Dropping it never blocks and never panics. Whoever had the sqlx
/// connection in hand may have left answers unread or a transaction open, so a task clears that
/// with one round trip, while the connection stays counted; a dropped transaction's locks never
/// wait for the next user. What cannot be proven clean is closed, as is everything outside a
/// runtime.
pub struct PoolConnection<DB: Engine> {
    /// Empty only while it is dropped or taken apart.
    object: Option<Object<Manager<DB>>>,
    pool: managed::Pool<Manager<DB>>,
}

impl<DB: Engine> PoolConnection<DB> {
    pub(crate) fn new(object: Object<Manager<DB>>, pool: managed::Pool<Manager<DB>>) -> Self {
        Self {
            object: Some(object),
            pool,
        }
    }

    /// Closes the connection instead of giving it back; the pool may open another.
    ///
    /// # Errors
    ///
    /// Those of saying goodbye to the server. The connection is gone all the same.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connection is dropped.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        self.detach().close().await
    }

    /// Takes the connection out of the pool, which may then open another.
    #[must_use]
    pub fn detach(mut self) -> DB::Connection {
        match self.object.take() {
            Some(object) => Object::take(object).into_connection(),
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(crate) fn managed(&mut self) -> &mut ManagedConnection<DB> {
        match &mut self.object {
            Some(object) => object,
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(crate) fn manager(&self) -> &Manager<DB> {
        self.pool.manager()
    }

    /// What to raise if the connection turns out dead while somebody else holds it.
    pub(crate) fn suspicion(&mut self) -> Suspicion<DB> {
        Suspicion {
            epoch: self.managed().epoch,
            pool: self.pool.clone(),
        }
    }

    /// Judges the connection by how its work ended and by what the work may have left open.
    pub(crate) fn settle<T>(&mut self, result: &Result<T, sqlx::Error>, leaves: Leaves) {
        let Some(connection) = self.object.as_deref_mut() else {
            return;
        };
        let manager = self.pool.manager();
        match result {
            Ok(_) if leaves == Leaves::Nothing => manager.proven(connection),
            Ok(_) => connection.state = State::Dirty,
            Err(error) => match ErrorKind::of(error) {
                ErrorKind::Disconnected => manager.doubt(connection, Doubt::Life),
                ErrorKind::ReadOnly => manager.doubt(connection, Doubt::Writer),
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

const TAKEN: &str = "only `drop` and `detach` take the object, and both end its holder";

/// Remembers what a connection's death would say about others.
pub(crate) struct Suspicion<DB: Engine> {
    epoch: Epoch,
    pool: managed::Pool<Manager<DB>>,
}

impl<DB: Engine> Suspicion<DB> {
    pub(crate) fn raise(self) {
        self.pool.manager().end_epoch(self.epoch);
    }
}

impl<DB: Engine> Drop for PoolConnection<DB> {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        match object.state {
            State::Clean => give_back(object, &self.pool),
            State::Unfit(reason) => discard(object, reason),
            State::Dirty => match Handle::try_current() {
                Ok(runtime) => {
                    runtime.spawn(drain(object, self.pool.clone()));
                }
                Err(_) => discard(object, DiscardReason::Unclean),
            },
        }
    }
}

/// Reads what is left on the wire, sends what waits to be sent, and ends what is open.
async fn drain<DB: Engine>(mut object: Object<Manager<DB>>, pool: managed::Pool<Manager<DB>>) {
    let cleansed = timeout(DRAIN_TIMEOUT, DB::cleanse(&mut object.connection)).await;
    match cleansed {
        // sqlx would take the next transaction for one inside this.
        Ok(Ok(())) if object.connection.is_in_transaction() => {
            discard(object, DiscardReason::Unclean);
        }
        Ok(Ok(())) => {
            pool.manager().proven(&mut object);
            give_back(object, &pool);
        }
        Ok(Err(error)) if ErrorKind::of(&error) == ErrorKind::Disconnected => {
            pool.manager().doubt(&mut object, Doubt::Life);
            discard(object, DiscardReason::Lost);
        }
        Ok(Err(_)) => discard(object, DiscardReason::Unclean),
        Err(_) => discard(object, DiscardReason::Drain),
    }
}

fn give_back<DB: Engine>(mut object: Object<Manager<DB>>, pool: &managed::Pool<Manager<DB>>) {
    if pool.is_closed() {
        return Object::take(object).say_goodbye();
    }
    let manager = pool.manager();
    let now = manager.clock().now();
    object.idle_since = now;
    drop(object);
    if manager.sweep_is_due(now) {
        let swept = pool.retain(|connection, _| manager.is_fit(connection, now));
        for connection in swept.removed {
            telemetry::discarded(DiscardReason::Idle, connection.generation);
            connection.say_goodbye();
        }
    }
}

fn discard<DB: Engine>(object: Object<Manager<DB>>, reason: DiscardReason) {
    telemetry::discarded(reason, object.generation);
    drop(Object::take(object));
}

impl<DB: Engine> Deref for PoolConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.object {
            Some(object) => &object.connection,
            None => unreachable!("{TAKEN}"),
        }
    }
}

impl<DB: Engine> DerefMut for PoolConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.managed()
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
