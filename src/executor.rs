//! Queries straight on the pool.

use either::Either;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::{Database, Error, Execute, Executor, SqlStr, Transaction};
use sqlx_core::describe::Describe;
use sqlx_core::ext::async_stream::TryAsyncStream;

use crate::connection::{Leaves, PoolConnection};
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
            let (query, mut lane) = Lane::of(&pool, query).await?;
            let result = lane.connection().execute(query).await;
            lane.settle(result).await
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let (query, mut lane) = Lane::of(&pool, query).await?;
            let result = lane.connection().fetch_all(query).await;
            lane.settle(result).await
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
            let (query, mut lane) = Lane::of(&pool, query).await?;
            // A stream that is dropped half way leaves it dirty.
            let mut steps = lane.connection().fetch_many(query);
            let result = loop {
                match steps.try_next().await {
                    Ok(Some(step)) => yielder.r#yield(step).await,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            drop(steps);
            lane.settle(result).await
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
            let (query, mut lane) = Lane::of(&pool, query).await?;
            if DB::DRAINS_AFTER_ONE_ROW {
                let result = lane.connection().fetch_optional(query).await;
                return lane.settle(result).await;
            }
            let mut first = None;
            let mut steps = lane.connection().fetch_many(query);
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
            lane.settle(result).await
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
            let mut lane = Lane::for_preparing(&pool).await?;
            let result = lane.connection().prepare_with(sql, parameters).await;
            lane.settle(result).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lane = Lane::for_preparing(&pool).await?;
            let result = lane.connection().describe(sql).await;
            lane.settle(result).await
        })
    }
}

/// Where a query runs.
enum Lane<DB: Engine> {
    Connection(PoolConnection<DB>, Leaves),
    /// Where a prepared statement lives no longer than a transaction.
    Transaction(Transaction<'static, DB>),
}

impl<DB: Engine> Lane<DB> {
    async fn of<'q>(
        pool: &Pool<DB>,
        query: impl Execute<'q, DB>,
    ) -> Result<(Inspected<DB>, Self), Error> {
        let mut query = Inspected::new(query);
        if !query.is_text() && pool.shared().loses_statements {
            query.persistent = false;
            return Ok((query, Self::Transaction(pool.begin().await?)));
        }
        let leaves = query.leaves();
        Ok((query, Self::Connection(pool.checkout().await?, leaves)))
    }

    async fn for_preparing(pool: &Pool<DB>) -> Result<Self, Error> {
        if pool.shared().loses_statements {
            return Ok(Self::Transaction(pool.begin().await?));
        }
        let connection = pool.checkout().await?;
        Ok(Self::Connection(connection, Leaves::Nothing))
    }

    fn connection(&mut self) -> &mut DB::Connection {
        match self {
            Self::Connection(connection, _) => connection.managed().lend(),
            Self::Transaction(transaction) => transaction,
        }
    }

    /// Keeps what the query did, and judges the connection by how it went.
    async fn settle<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        match self {
            Self::Connection(mut connection, leaves) => {
                connection.settle(&result, leaves);
                result
            }
            Self::Transaction(transaction) => {
                let value = result?;
                transaction.commit().await?;
                Ok(value)
            }
        }
    }
}

/// A query taken apart, to see whether it may leave a transaction open.
struct Inspected<DB: Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>,
    persistent: bool,
}

impl<DB: Database> Inspected<DB> {
    fn new<'q>(mut query: impl Execute<'q, DB>) -> Self {
        let statement = query.statement().cloned();
        let arguments = Some(query.take_arguments());
        let persistent = query.persistent();
        Self {
            sql: query.sql(),
            statement,
            arguments,
            persistent,
        }
    }

    /// Whether nothing is prepared; only then can it hold several statements.
    fn is_text(&self) -> bool {
        matches!(self.arguments, Some(Ok(None)))
    }

    fn leaves(&self) -> Leaves {
        if may_begin(self.sql.as_str(), self.is_text()) {
            Leaves::Transaction
        } else {
            Leaves::Nothing
        }
    }
}

/// Whether SQL text may begin a transaction: rather once too often, which costs a round trip.
fn may_begin(sql: &str, several: bool) -> bool {
    let begins = |word: &str| {
        [
            "begin", "start", "set", "xa", "do", "call", "commit", "rollback", "execute",
        ]
        .iter()
        .any(|b| word.eq_ignore_ascii_case(b))
    };
    let mut words = sql
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let commented = sql.trim_start().starts_with(['/', '-', '#']);
    if several || commented {
        words.any(begins)
    } else {
        words.next().is_some_and(begins)
    }
}

impl<DB: Database> Execute<'_, DB> for Inspected<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_begin_a_transaction_is_told() {
        for (sql, several, expected) in [
            ("SELECT beginning FROM start_times", false, false),
            ("SELECT 1", true, false),
            ("BEGIN", false, true),
            ("  start transaction", false, true),
            ("SET autocommit = 0", false, true),
            ("COMMIT AND CHAIN", false, true),
            ("INSERT INTO t VALUES (1)", false, false),
            ("INSERT INTO t VALUES (1); begin", true, true),
            ("/* hint */ BEGIN", false, true),
            ("-- why\nBEGIN", false, true),
        ] {
            assert_eq!(may_begin(sql, several), expected, "{sql}");
        }
    }
}
