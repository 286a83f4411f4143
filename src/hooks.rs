//! Callbacks of a pool: what an app wants done to its connections.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use sqlx::Database;

use crate::engine::Engine;

/// What a callback of [`PoolOptions`](crate::PoolOptions) is told of a connection; sqlx's type of
/// this name cannot be made outside sqlx.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PoolConnectionMetadata {
    /// How long ago the connection was opened.
    pub age: Duration,
    /// How long it has been unused: zero in `after_connect` and `after_release`.
    pub idle_for: Duration,
}

impl PoolConnectionMetadata {
    /// Of a connection that was opened just now.
    pub(crate) fn new_one() -> Self {
        Self {
            age: Duration::ZERO,
            idle_for: Duration::ZERO,
        }
    }
}

/// A callback, in the form that sqlx's users write it.
pub(crate) type Hook<DB, T> = Arc<
    dyn for<'c> Fn(
            &'c mut <DB as Database>::Connection,
            PoolConnectionMetadata,
        ) -> BoxFuture<'c, Result<T, sqlx::Error>>
        + Send
        + Sync,
>;

/// The callbacks that were given.
pub(crate) struct Hooks<DB: Engine> {
    pub(crate) after_connect: Option<Hook<DB, ()>>,
    pub(crate) before_acquire: Option<Hook<DB, bool>>,
    pub(crate) after_release: Option<Hook<DB, bool>>,
}

impl<DB: Engine> Default for Hooks<DB> {
    fn default() -> Self {
        Self {
            after_connect: None,
            before_acquire: None,
            after_release: None,
        }
    }
}

impl<DB: Engine> Clone for Hooks<DB> {
    fn clone(&self) -> Self {
        Self {
            after_connect: self.after_connect.clone(),
            before_acquire: self.before_acquire.clone(),
            after_release: self.after_release.clone(),
        }
    }
}
