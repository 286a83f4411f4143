//! Queries straight on the pool.

use either::Either;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::{Database, Error, Execute, Executor, SqlStr};
use sqlx_core::describe::Describe;
use sqlx_core::ext::async_stream::TryAsyncStream;

use crate::engine::Engine;
use crate::pool::Pool;

impl<'p, DB: Engine> Executor<'p> for &'_ Pool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<DB::QueryResult, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let query = Inspected::new(query);
            let raw = query.is_raw();
            let mut connection = pool.acquire().await?;
            let result = (**connection.managed()).execute(query).await;
            connection.settle(&result, raw);
            result
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let query = Inspected::new(query);
            let raw = query.is_raw();
            let mut connection = pool.acquire().await?;
            let result = (**connection.managed()).fetch_all(query).await;
            connection.settle(&result, raw);
            result
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<DB::QueryResult, DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(TryAsyncStream::new(move |yielder| async move {
            let query = Inspected::new(query);
            let raw = query.is_raw();
            let mut connection = pool.acquire().await?;
            // A stream that is dropped half way leaves it dirty.
            let mut steps = (**connection.managed()).fetch_many(query);
            let result = loop {
                match steps.try_next().await {
                    Ok(Some(step)) => yielder.r#yield(step).await,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            drop(steps);
            connection.settle(&result, raw);
            result
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let query = Inspected::new(query);
            let raw = query.is_raw();
            let mut connection = pool.acquire().await?;
            if DB::DRAINS_AFTER_ONE_ROW {
                let result = (**connection.managed()).fetch_optional(query).await;
                connection.settle(&result, raw);
                return result;
            }
            let mut first = None;
            let mut steps = (**connection.managed()).fetch_many(query);
            let result = loop {
                match steps.try_next().await {
                    // Read on to the end, which is near for a query that yields one row; where
                    // it is not, the rest is cleared behind the caller's back.
                    Ok(Some(Either::Right(_))) if first.is_some() => return Ok(first),
                    Ok(Some(Either::Right(row))) => first = Some(row),
                    Ok(Some(Either::Left(_))) => {}
                    Ok(None) => break Ok(first),
                    Err(error) => break Err(error),
                }
            };
            drop(steps);
            connection.settle(&result, raw);
            result
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let result = (**connection.managed()).prepare_with(sql, parameters).await;
            connection.settle(&result, false);
            result
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let result = (**connection.managed()).describe(sql).await;
            connection.settle(&result, false);
            result
        })
    }
}

/// A query whose arguments were looked at: only text without any can hold several statements, and
/// so leave a transaction open.
struct Inspected<E, A> {
    query: E,
    arguments: Option<Result<Option<A>, BoxDynError>>,
}

impl<E, A> Inspected<E, A> {
    fn new<'q, DB>(mut query: E) -> Self
    where
        DB: Database<Arguments = A>,
        E: Execute<'q, DB>,
    {
        let arguments = Some(query.take_arguments());
        Self { query, arguments }
    }

    fn is_raw(&self) -> bool {
        matches!(self.arguments, Some(Ok(None)))
    }
}

impl<'q, DB, E> Execute<'q, DB> for Inspected<E, DB::Arguments>
where
    DB: Database,
    E: Execute<'q, DB>,
{
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.query.persistent()
    }
}
