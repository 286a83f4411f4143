//! Statements that may be run twice.

use std::fmt;

use either::Either;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx_core::Error;
use sqlx_core::describe::Describe;
use sqlx_core::executor::{Execute, Executor};
use sqlx_core::sql_str::SqlStr;

use super::client::Repeatable;
use super::connection::{DataApiConnection, first, steps};
use super::{
    DataApi, DataApiEngine, DataApiQueryResult, DataApiRow, DataApiStatement, DataApiTypeInfo,
};

/// A connection whose statements may be run twice: see [`DataApiConnection::idempotent`].
pub struct IdempotentStatements<'c, E> {
    connection: &'c mut DataApiConnection<E>,
}

impl<E> DataApiConnection<E> {
    /// Runs statements that may be run twice: where the service does not say whether one was done,
    /// it is sent again.
    ///
    /// Reads, and writes that set what they write. Inside a transaction nothing is sent again, since
    /// the service may have ended it.
    ///
    /// ```no_run
    /// # use sqlx_rds::data_api::{DataApiConnection, Postgres};
    /// # async fn example(connection: &mut DataApiConnection<Postgres>) -> Result<(), sqlx::Error> {
    /// let open: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
    ///     .fetch_one(connection.idempotent())
    ///     .await?;
    /// # drop(open);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idempotent(&mut self) -> IdempotentStatements<'_, E> {
        IdempotentStatements { connection: self }
    }
}

impl<'c, E: DataApiEngine> Executor<'c> for IdempotentStatements<'c, E> {
    type Database = DataApi<E>;

    fn fetch_many<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxStream<'e, Result<Either<DataApiQueryResult, DataApiRow<E>>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApi<E>>,
    {
        steps(self.connection, query, Repeatable::Always)
    }

    fn fetch_optional<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxFuture<'e, Result<Option<DataApiRow<E>>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApi<E>>,
    {
        first(steps(self.connection, query, Repeatable::Always))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DataApiTypeInfo],
    ) -> BoxFuture<'e, Result<DataApiStatement<E>, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DataApi<E>>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

impl<E> fmt::Debug for IdempotentStatements<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdempotentStatements")
            .field(&self.connection)
            .finish()
    }
}
