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

impl<'c, E> IdempotentStatements<'c, E> {
    pub(super) fn new(connection: &'c mut DataApiConnection<E>) -> Self {
        Self { connection }
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
