//! One statement with many sets of values.

use sqlx_core::Error;
use sqlx_core::sql_str::SqlSafeStr;

use super::client::Repeatable;
use super::connection::{DataApiConnection, translate};
use super::limits;
use super::{DataApiArguments, DataApiEngine};
use crate::data_api_error::{DataApiError, Executed};

/// How many sets go into one request: the service has no number, and a limit for all of it.
const SETS: usize = 1_000;

/// What is left for names, signature and session token.
const MARGIN: usize = 64 * 1024;

/// Runs a statement once for each set of values, in requests of up to 1,000 sets and 4 MiB.
///
/// All of it takes effect or nothing does: outside of a transaction it gets one of its own. The
/// service tells no rows and no counts; what is returned is how many sets there were.
///
/// ```no_run
/// # use sqlx_rds::data_api::{self, DataApiArguments, DataApiConnection, Postgres};
/// # async fn example(connection: &mut DataApiConnection<Postgres>) -> Result<(), sqlx::Error> {
/// use sqlx::Arguments;
///
/// let mut sets = Vec::new();
/// for (id, item) in [(1_i64, "pen"), (2, "ink")] {
///     let mut set = DataApiArguments::default();
///     set.add(id).map_err(sqlx::Error::Encode)?;
///     set.add(item).map_err(sqlx::Error::Encode)?;
///     sets.push(set);
/// }
/// let sql = "INSERT INTO orders (id, item) VALUES ($1, $2)";
/// data_api::execute_many(connection, sql, sets).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Protocol`] where the sets are not of the same types or one alone is above 4 MiB, and
/// those of a statement.
///
/// # Cancel safety
///
/// Inside a transaction it puts that in doubt: roll it back. Outside of one all of it takes effect
/// or nothing does, and where `COMMIT` was sent nobody is told which.
pub async fn execute_many<E: DataApiEngine>(
    connection: &mut DataApiConnection<E>,
    sql: impl SqlSafeStr,
    sets: impl IntoIterator<Item = DataApiArguments<E>>,
) -> Result<usize, Error> {
    let sql = sql.into_sql_str();
    let mut sets = sets.into_iter().peekable();
    let Some(first) = sets.peek() else {
        return Ok(0);
    };
    let text = translate(sql.as_str(), first)?;
    let types = first.types().to_vec();
    let sql_size = limits::text_size(&text);
    let most = limits::LARGEST_REQUEST - MARGIN - sql_size;
    let mut pages: Vec<Vec<_>> = Vec::new();
    let mut size = 0;
    for (number, set) in sets.enumerate() {
        if set.types() != types {
            return Err(Error::Protocol(format!(
                "set {number} has other types than the first; bind the same to each, and \
                 `None::<T>` for NULL"
            )));
        }
        let more = limits::check_request(sql_size, set.sizes())?;
        match pages.last_mut() {
            Some(page) if page.len() < SETS && size + more <= most => {
                page.push(set);
                size += more;
            }
            _ => {
                pages.push(vec![set]);
                size = more;
            }
        }
    }
    connection.flush_rollback().await?;
    let total = pages.iter().map(Vec::len).sum();
    if connection.state.depth() > 0 {
        for page in pages {
            connection.send_page(&text, page).await?;
        }
        return Ok(total);
    }
    connection.begin_unguarded().await?;
    for page in pages {
        if let Err(error) = connection.send_page(&text, page).await {
            let _ = connection.roll_back().await;
            return Err(DataApiError::with_executed(error, Executed::No));
        }
    }
    connection.commit_transaction().await?;
    Ok(total)
}

impl<E: DataApiEngine> DataApiConnection<E> {
    async fn send_page(&mut self, sql: &str, sets: Vec<DataApiArguments<E>>) -> Result<(), Error> {
        self.state.check()?;
        self.state.asked();
        let (target, id) = (self.target().clone(), self.state.id().map(str::to_owned));
        let sent = self.client().call(Repeatable::IfNotExecuted, |sdk| {
            sdk.batch_execute_statement()
                .resource_arn(&target.resource_arn)
                .secret_arn(&target.secret_arn)
                .set_database(target.database.clone())
                .set_transaction_id(id.clone())
                .sql(sql)
                .set_parameter_sets(Some(
                    sets.iter().map(DataApiArguments::parameters).collect(),
                ))
                .send()
        });
        let result = sent.await;
        self.state.answered(&result);
        result.map(drop)
    }
}
