//! `begin`: sqlx's own transactions.

use futures_core::future::BoxFuture;
use sqlx::{Acquire, AssertSqlSafe, Error, SqlSafeStr, SqlStr, Transaction};

use crate::connection::PoolConnection;
use crate::engine::Engine;
use crate::kind::{ErrorKind, Recovery};
use crate::pool::Pool;
use crate::shell;

impl<DB: Engine> Pool<DB> {
    /// Begins a transaction, which is rolled back if it is dropped before its `commit`.
    ///
    /// A connection that turns out dead at `BEGIN` is replaced once: nothing has happened yet.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire) and of `BEGIN`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connection that may have begun is closed, so that no open transaction goes
    /// back to the pool. sqlx 0.9.0's own pool loses data here (sqlx issue 4385).
    pub async fn begin(&self) -> Result<Transaction<'static, DB>, Error> {
        self.begin_by(None).await
    }

    /// As [`begin`](Self::begin), with a statement of one's own, as
    /// `"BEGIN ISOLATION LEVEL SERIALIZABLE"`.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin), and [`Error::BeginFailed`] when the statement begins nothing.
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> Result<Transaction<'static, DB>, Error> {
        self.begin_by(Some(statement.into_sql_str())).await
    }

    /// Begins a transaction on an idle connection, where there is one as
    /// [`try_acquire`](Self::try_acquire) finds it.
    ///
    /// A connection that turns out dead at `BEGIN` is passed over.
    ///
    /// # Errors
    ///
    /// Those of `BEGIN`.
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    pub async fn try_begin(&self) -> Result<Option<Transaction<'static, DB>>, Error> {
        self.try_begin_by(None).await
    }

    /// As [`try_begin`](Self::try_begin), with a statement of one's own.
    ///
    /// # Errors
    ///
    /// As [`begin_with`](Self::begin_with).
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    pub async fn try_begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> Result<Option<Transaction<'static, DB>>, Error> {
        self.try_begin_by(Some(statement.into_sql_str())).await
    }

    async fn begin_by(&self, statement: Option<SqlStr>) -> Result<Transaction<'static, DB>, Error> {
        let statement = self.opening(statement);
        let first = shell::begin(self.lent(), self.checkout().await?, statement.clone()).await;
        match first {
            Err(error) if is_dead(&error) => {
                shell::begin(self.lent(), self.checkout().await?, statement).await
            }
            result => result,
        }
    }

    async fn try_begin_by(
        &self,
        statement: Option<SqlStr>,
    ) -> Result<Option<Transaction<'static, DB>>, Error> {
        let statement = self.opening(statement);
        // Ends, since a connection that is dead is not idle again.
        while let Some(connection) = self.take_idle() {
            match shell::begin(self.lent(), connection, statement.clone()).await {
                Err(error) if is_dead(&error) => {}
                result => return result.map(Some),
            }
        }
        Ok(None)
    }

    /// What to send to begin a transaction; nothing where sqlx knows.
    fn opening(&self, statement: Option<SqlStr>) -> Option<SqlStr> {
        if !self.shared().loses_statements {
            return statement;
        }
        let begin = statement.as_ref().map_or("BEGIN", SqlStr::as_str);
        // One message, so that PgBouncer changes no connection in between; both are asserted by
        // whoever wrote them.
        let opening = format!("{}; {begin}", DB::FORGET_STATEMENTS);
        Some(AssertSqlSafe(opening).into_sql_str())
    }
}

/// Whether another connection can do what this one could not.
fn is_dead(error: &Error) -> bool {
    ErrorKind::of(error).recovery() == Recovery::Reconnect
}

impl<DB: Engine> Acquire<'static> for &'_ Pool<DB> {
    type Database = DB;
    type Connection = PoolConnection<DB>;

    fn acquire(self) -> BoxFuture<'static, Result<PoolConnection<DB>, Error>> {
        Box::pin(Pool::acquire(self))
    }

    fn begin(self) -> BoxFuture<'static, Result<Transaction<'static, DB>, Error>> {
        let pool = self.clone();
        Box::pin(async move { pool.begin_by(None).await })
    }
}
