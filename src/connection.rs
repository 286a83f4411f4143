//! A connection on loan from a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{self, Object};
use futures_core::future::BoxFuture;
use sqlx::{Acquire, Connection, Transaction};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::classify::{ErrorKind, Recovery};
use crate::engine::Engine;
use crate::manager::{ManagedConnection, Manager, State};
use crate::telemetry::{self, DiscardReason};

/// How long what a dropped query or transaction left on a connection may take to clear.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a goodbye to the server may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that goes back to its [`Pool`](crate::Pool) when it is dropped.
///
/// It derefs to sqlx's connection. Dropping it never blocks and never panics: where something may
/// be left on the wire, a task clears that while the connection stays counted, so that a dropped
/// transaction's locks never wait for the next user; outside a runtime the connection is closed.
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
            Some(object) => Object::take(object).connection,
            None => unreachable!("only `drop` and `detach` take the object, and both end it"),
        }
    }

    pub(crate) fn managed(&mut self) -> &mut ManagedConnection<DB> {
        match &mut self.object {
            Some(object) => object,
            None => unreachable!("only `drop` and `detach` take the object, and both end it"),
        }
    }

    /// The connection is dead.
    pub(crate) fn suspect(&mut self) {
        let pool = self.pool.clone();
        pool.manager().suspect(self.managed());
    }

    /// Judges the connection by how its work ended; `raw` work may leave a transaction open.
    pub(crate) fn settle<T>(&mut self, result: &Result<T, sqlx::Error>, raw: bool) {
        let pool = self.pool.clone();
        let connection = self.managed();
        match result {
            Ok(_) => pool.manager().proven(connection),
            Err(error) if ErrorKind::of(error).recovery() == Recovery::Reconnect => {
                pool.manager().suspect(connection);
            }
            Err(_) if raw => connection.state = State::Unfit(DiscardReason::Unclean),
            // The answer may not have been read to its end.
            Err(_) => connection.state = State::Dirty,
        }
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
                Err(_) => discard(object, DiscardReason::Drain),
            },
        }
    }
}

/// Reads what is left on the wire and sends what waits to be sent, such as a rollback.
async fn drain<DB: Engine>(mut object: Object<Manager<DB>>, pool: managed::Pool<Manager<DB>>) {
    match timeout(DRAIN_TIMEOUT, object.connection.ping()).await {
        Ok(Ok(())) => {
            pool.manager().proven(&mut object);
            give_back(object, &pool);
        }
        Ok(Err(_)) => {
            pool.manager().suspect(&mut object);
            discard(object, DiscardReason::Ping);
        }
        Err(_) => discard(object, DiscardReason::Drain),
    }
}

fn give_back<DB: Engine>(mut object: Object<Manager<DB>>, pool: &managed::Pool<Manager<DB>>) {
    if !pool.is_closed() {
        object.idle_since = pool.manager().clock().now();
        return;
    }
    let ManagedConnection {
        connection,
        presence,
        ..
    } = Object::take(object);
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            say_goodbye(connection).await;
            drop(presence);
        });
    }
}

/// Tells the server that the connection ends.
pub(crate) async fn say_goodbye<C: Connection>(connection: C) {
    // It notices a lost socket too, so a goodbye that fails is no matter.
    let _ = timeout(GOODBYE_TIMEOUT, connection.close()).await;
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
            None => unreachable!("only `drop` and `detach` take the object, and both end it"),
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
