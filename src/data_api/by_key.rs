//! Results of any size, page by page, each from the last key of the one before.

use either::Either;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx_core::Error;
use sqlx_core::executor::Execute;
use sqlx_core::from_row::FromRow;
use sqlx_core::query_as::QueryAs;

use super::client::Repeatable;
use super::connection::DataApiConnection;
use super::page_size::PageSize;
use super::{DataApi, DataApiArguments, DataApiEngine, DataApiRow};
use crate::data_api_error::DataApiError;

/// Reads rows in the order of a unique key, page by page: each query begins after the last key of
/// the page before.
///
/// `start` is a key before the first. `query` is given the key to begin after and a limit, and
/// `key` tells a row's. It ends with a page that is empty, which is a request more: a short page may
/// be cut by a limit of the query's own, and rows behind it would be lost.
///
/// ```no_run
/// # use sqlx_rds::data_api::{self, DataApiConnection, MySql};
/// # async fn example(connection: &mut DataApiConnection<MySql>) -> Result<(), sqlx::Error> {
/// use futures_util::TryStreamExt;
///
/// let sql = "SELECT id, item FROM orders WHERE id > ? ORDER BY id LIMIT ?";
/// let mut orders = data_api::fetch_by_key(
///     connection,
///     0_i64,
///     |last, limit| sqlx::query_as(sql).bind(*last).bind(limit),
///     |order: &(i64, String)| order.0,
/// );
/// while let Some((id, item)) = orders.try_next().await? {
///     println!("{id}: {item}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// The key must be unique, or rows that share it are lost between two pages; several columns will
/// do, as `WHERE (day, id) > (?, ?) ORDER BY day, id`. The query may do nothing but read: it is sent
/// again where it was not answered, and with a lower limit where its result was above 1 MiB.
///
/// Each page is a statement of its own: no transaction is held, and rows that are written meanwhile
/// may be among them. Inside a transaction of MySQL, whose default is `REPEATABLE READ`, all pages
/// are of one snapshot; there a page above 1 MiB is an error, since it ends the transaction.
/// On PostgreSQL a [cursor](super::Cursor) needs no key.
///
/// # Errors
///
/// Those of a statement, and [`Error::Protocol`] where a page holds the key that it began after.
pub fn fetch_by_key<'c, 'q: 'c, E, T, K>(
    connection: &'c mut DataApiConnection<E>,
    start: K,
    query: impl FnMut(&K, i64) -> QueryAs<'q, DataApi<E>, T, DataApiArguments<E>> + Send + 'c,
    key: impl FnMut(&T) -> K + Send + 'c,
) -> BoxStream<'c, Result<T, Error>>
where
    E: DataApiEngine,
    T: for<'r> FromRow<'r, DataApiRow<E>> + Send + 'c,
    K: PartialEq + Send + 'c,
{
    let reading = Reading {
        connection,
        last: start,
        query,
        key,
        page: PageSize::default(),
    };
    stream::try_unfold(reading, |mut reading| async {
        let rows = reading.next_page().await?;
        Ok::<_, Error>(
            (!rows.is_empty()).then(|| (stream::iter(rows.into_iter().map(Ok)), reading)),
        )
    })
    .try_flatten()
    .boxed()
}

struct Reading<'c, E, K, Q, F> {
    connection: &'c mut DataApiConnection<E>,
    last: K,
    query: Q,
    key: F,
    page: PageSize,
}

impl<'q, E, K, Q, F> Reading<'_, E, K, Q, F>
where
    E: DataApiEngine,
    K: PartialEq,
{
    async fn next_page<T>(&mut self) -> Result<Vec<T>, Error>
    where
        Q: FnMut(&K, i64) -> QueryAs<'q, DataApi<E>, T, DataApiArguments<E>>,
        F: FnMut(&T) -> K,
        T: for<'r> FromRow<'r, DataApiRow<E>> + Send,
    {
        let rows = self.fetch().await?;
        self.page.note(rows.iter());
        let rows: Vec<T> = rows.iter().map(T::from_row).collect::<Result<_, _>>()?;
        for row in &rows {
            if (self.key)(row) == self.last {
                return Err(Error::Protocol(
                    "a page holds the key that it began after: write `WHERE key > ..` and \
                     `ORDER BY key`"
                        .to_owned(),
                ));
            }
        }
        if let Some(row) = rows.last() {
            self.last = (self.key)(row);
        }
        Ok(rows)
    }

    async fn fetch<T>(&mut self) -> Result<Vec<DataApiRow<E>>, Error>
    where
        Q: FnMut(&K, i64) -> QueryAs<'q, DataApi<E>, T, DataApiArguments<E>>,
        T: Send,
    {
        loop {
            let limit = i64::try_from(self.page.rows()).unwrap_or(i64::MAX);
            let mut query = (self.query)(&self.last, limit);
            let arguments = query.take_arguments().map_err(Error::Encode)?;
            let sent = self
                .connection
                .run(query.sql(), arguments, Repeatable::Always);
            let error = match sent.await {
                Ok(steps) => return Ok(steps.into_iter().filter_map(Either::right).collect()),
                Err(error) => error,
            };
            let is_oversize = DataApiError::of(&error).is_some_and(DataApiError::is_oversize);
            let is_in_transaction = self.connection.state.depth() > 0;
            if !is_oversize || is_in_transaction || !self.page.shrink() {
                return Err(self.page.explain(error));
            }
        }
    }
}
