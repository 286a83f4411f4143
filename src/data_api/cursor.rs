//! Results of any size, page by page, by a cursor of PostgreSQL.

use std::fmt;

use either::Either;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use sqlx_core::Error;
use sqlx_core::describe::Describe;
use sqlx_core::executor::{Execute, Executor};
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr, SqlStr};
use sqlx_core::transaction::TransactionManager;

use super::client::Repeatable;
use super::connection::DataApiConnection;
use super::page_size::PageSize;
use super::{
    DataApiArguments, DataApiPostgres, DataApiQueryResult, DataApiRow, DataApiStatement,
    DataApiTransactionManager, DataApiTypeInfo, Postgres,
};
use crate::data_api_error::DataApiError;

type Row = DataApiRow<Postgres>;
type Step = Either<DataApiQueryResult, Row>;
type Transactions = DataApiTransactionManager<Postgres>;

/// An executor whose results come page by page: see [`DataApiConnection::cursor`].
pub struct Cursor<'c> {
    connection: &'c mut DataApiConnection<Postgres>,
    page: PageSize,
}

impl DataApiConnection<Postgres> {
    /// Runs queries whose results may be larger than 1 MiB, the most that the service returns at
    /// once.
    ///
    /// A query becomes a cursor in a transaction of its own, and its rows are fetched as the stream
    /// is read: one snapshot, in the query's order. Inside a transaction it is a savepoint.
    ///
    /// ```no_run
    /// # use sqlx_rds::data_api::DataApiPostgres;
    /// # async fn example(pool: &sqlx::Pool<DataApiPostgres>) -> Result<(), sqlx::Error> {
    /// use futures_util::TryStreamExt;
    ///
    /// let mut connection = pool.acquire().await?;
    /// let mut orders = sqlx::query_as("SELECT id, item FROM orders ORDER BY id")
    ///     .fetch(connection.cursor());
    /// while let Some(order) = orders.try_next().await? {
    ///     let (id, item): (i64, String) = order;
    ///     println!("{id}: {item}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The first page has 100 rows, and the size of the rows that came decides on the next. Where
    /// the first one is above 1 MiB the query is begun again, with fewer. The transaction is
    /// committed before the rows of the last page are returned. Where the stream is dropped earlier,
    /// the next use of the connection rolls it back, as does its return to the pool; and the
    /// service does after 3 min without a request, so read a page in less.
    ///
    /// Only `SELECT` and `VALUES` have cursors. For MySQL, and for reads that take longer than a
    /// transaction may, see [`fetch_by_key`](super::fetch_by_key).
    ///
    /// # Errors
    ///
    /// [`DataApiError`] where a later page is above 1 MiB, since its rows are far wider than those
    /// before: that ends the transaction. [`Cursor::max_rows`] makes pages smaller.
    pub fn cursor(&mut self) -> Cursor<'_> {
        Cursor {
            connection: self,
            page: PageSize::default(),
        }
    }
}

impl Cursor<'_> {
    /// How many rows a page has at most. Default: as many as half a MiB holds. 0 counts as 1.
    ///
    /// 1 MiB divided by the widest row is safe whatever the order of the rows.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.page = self.page.at_most(rows);
        self
    }
}

/// A cursor that is read. Dropped before its end it leaves its transaction to the next use.
struct Reading<'c> {
    connection: &'c mut DataApiConnection<Postgres>,
    sql: SqlStr,
    arguments: DataApiArguments<Postgres>,
    page: PageSize,
    total: u64,
    is_open: bool,
}

impl<'c> Reading<'c> {
    fn new<'q>(
        cursor: Cursor<'c>,
        mut query: impl Execute<'q, DataApiPostgres>,
    ) -> Result<Self, Error> {
        let arguments = query.take_arguments().map_err(Error::Encode)?;
        Ok(Self {
            connection: cursor.connection,
            sql: query.sql(),
            arguments: arguments.unwrap_or_default(),
            page: cursor.page,
            total: 0,
            is_open: false,
        })
    }

    /// The rows of the next page, and whether it is the last.
    async fn next_page(&mut self) -> Result<(Vec<Step>, bool), Error> {
        loop {
            let error = match self.fetch(self.page.rows()).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let is_oversize = DataApiError::of(&error).is_some_and(DataApiError::is_oversize);
            // Nobody has seen a row of it, and the transaction holds nothing else.
            let may_begin_again = self.total == 0 && self.connection.state.depth() == 1;
            if !(is_oversize && may_begin_again && self.page.rows() > 1) {
                return Err(self.page.explain(error));
            }
            self.page.shrink();
            Transactions::rollback(self.connection).await?;
            self.is_open = false;
        }
    }

    async fn fetch(&mut self, most: usize) -> Result<(Vec<Step>, bool), Error> {
        if !self.is_open {
            self.is_open = true;
            Transactions::begin(self.connection, None).await?;
            let declare = format!("DECLARE {NAME} NO SCROLL CURSOR FOR {}", self.sql.as_str());
            self.run(declare, self.arguments.clone()).await?;
        }
        let fetch = format!("FETCH {most} FROM {NAME}");
        let mut steps = self.run(fetch, DataApiArguments::default()).await?;
        steps.retain(Either::is_right);
        self.page
            .note(steps.iter().filter_map(|step| step.as_ref().right()));
        self.total += steps.len() as u64;
        let is_last = steps.len() < most;
        if is_last {
            self.finish().await?;
            steps.push(Either::Left(DataApiQueryResult::new(self.total, 0)));
        }
        Ok((steps, is_last))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        if self.connection.state.depth() > 1 {
            // It would outlive the savepoint.
            self.run(format!("CLOSE {NAME}"), DataApiArguments::default())
                .await?;
        }
        Transactions::commit(self.connection).await?;
        self.is_open = false;
        Ok(())
    }

    async fn run(
        &mut self,
        sql: String,
        arguments: DataApiArguments<Postgres>,
    ) -> Result<Vec<Step>, Error> {
        let sql = AssertSqlSafe(sql).into_sql_str();
        self.connection
            .run_one(sql, Some(arguments), Repeatable::IfNotExecuted)
            .await
    }
}

/// There is one in a transaction at a time.
const NAME: &str = "_sqlx_rds_cursor";

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.is_open {
            Transactions::start_rollback(self.connection);
        }
    }
}

impl<'c> Executor<'c> for Cursor<'c> {
    type Database = DataApiPostgres;

    fn fetch_many<'e, 'q: 'e, Q>(self, query: Q) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApiPostgres>,
    {
        let reading = Reading::new(self, query);
        let pages = stream::try_unfold(Some(reading), |reading| async {
            let Some(reading) = reading else {
                return Ok::<_, Error>(None);
            };
            let mut reading = reading?;
            let (page, is_last) = reading.next_page().await?;
            let rest = (!is_last).then_some(Ok(reading));
            Ok(Some((stream::iter(page.into_iter().map(Ok)), rest)))
        });
        pages.try_flatten().boxed()
    }

    /// Fetches one row, and commits.
    fn fetch_optional<'e, 'q: 'e, Q>(self, query: Q) -> BoxFuture<'e, Result<Option<Row>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApiPostgres>,
    {
        let reading = Reading::new(self.max_rows(1), query);
        async move {
            let mut reading = reading?;
            let (page, is_last) = reading.next_page().await?;
            if !is_last {
                reading.finish().await?;
            }
            Ok(page.into_iter().find_map(Either::right))
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DataApiTypeInfo],
    ) -> BoxFuture<'e, Result<DataApiStatement<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DataApiPostgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("connection", &self.connection)
            .field("page", &self.page)
            .finish()
    }
}
