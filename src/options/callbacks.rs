//! What an app does to connections as they come and go, under sqlx's names.

use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::PoolOptions;
use crate::engine::Engine;
use crate::hooks::PoolConnectionMetadata;

impl<DB: Engine> PoolOptions<DB> {
    /// What is done to every new connection before it is used, as `SET` statements.
    ///
    /// An error ends the connection. Where waiting can help, another connection is tried until the
    /// acquire's deadline; any other error is the caller's at once. (sqlx tries again after every
    /// error and ends in [`sqlx::Error::PoolTimedOut`].)
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example() -> Result<(), sqlx::Error> {
    /// use sqlx::Executor;
    /// use sqlx_rds::PgPoolOptions;
    ///
    /// let pool = PgPoolOptions::new()
    ///     .after_connect(|connection, _meta| {
    ///         Box::pin(async move {
    ///             connection.execute("SET search_path = orders").await?;
    ///             Ok(())
    ///         })
    ///     })
    ///     .connect("postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after_connect<F>(mut self, callback: F) -> Self
    where
        for<'c> F: Fn(
                &'c mut DB::Connection,
                PoolConnectionMetadata,
            ) -> BoxFuture<'c, Result<(), sqlx::Error>>
            + 'static
            + Send
            + Sync,
    {
        self.hooks.after_connect = Some(Arc::new(callback));
        self
    }

    /// What is done to an idle connection before it is handed out again.
    ///
    /// `Ok(false)` and errors close it, and the next one is tried; an error is logged.
    #[must_use]
    pub fn before_acquire<F>(mut self, callback: F) -> Self
    where
        for<'c> F: Fn(
                &'c mut DB::Connection,
                PoolConnectionMetadata,
            ) -> BoxFuture<'c, Result<bool, sqlx::Error>>
            + 'static
            + Send
            + Sync,
    {
        self.hooks.before_acquire = Some(Arc::new(callback));
        self
    }

    /// What is done to a connection that comes back, after open transactions were rolled back.
    ///
    /// `Ok(false)` and errors close it; an error is logged. It runs in a task, within
    /// [`acquire_timeout`](Self::acquire_timeout). A connection on which it could not run, for want
    /// of a runtime, is closed.
    #[must_use]
    pub fn after_release<F>(mut self, callback: F) -> Self
    where
        for<'c> F: Fn(
                &'c mut DB::Connection,
                PoolConnectionMetadata,
            ) -> BoxFuture<'c, Result<bool, sqlx::Error>>
            + 'static
            + Send
            + Sync,
    {
        self.hooks.after_release = Some(Arc::new(callback));
        self
    }
}
