//! A connection that is none: a client, and the transaction that it is in.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use aws_sdk_rdsdata::operation::execute_statement::ExecuteStatementOutput;
use aws_sdk_rdsdata::types::{DecimalReturnType, Field, LongReturnType, ResultSetOptions};
use either::Either;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use sqlx_core::Error;
use sqlx_core::acquire::Acquire;
use sqlx_core::connection::{Connection, LogSettings};
use sqlx_core::describe::Describe;
use sqlx_core::executor::{Execute, Executor};
use sqlx_core::logger::QueryLogger;
use sqlx_core::sql_str::SqlStr;
use sqlx_core::transaction::Transaction;

use super::client::{Client, Repeatable};
use super::limits;
use super::options::Target;
use super::row::Columns;
use super::sql::{self, Control, Dialect};
use super::state::State;
use super::{
    DataApi, DataApiArguments, DataApiConnectOptions, DataApiEngine, DataApiQueryResult,
    DataApiRow, DataApiStatement, DataApiTypeInfo,
};

/// What sqlx takes for a connection to the database.
///
/// Nothing is open: each statement is a request, and a transaction an id that the service keeps for
/// 3 min after its last statement. Dropping it costs nothing; a transaction that was left is rolled
/// back by the next use, or by the service.
pub struct DataApiConnection<E> {
    client: Arc<Client>,
    target: Target,
    log: LogSettings,
    pub(super) state: State,
    /// The transaction that holds the lock of migrations.
    pub(super) lock: Option<String>,
    engine: PhantomData<E>,
}

/// Rows and what a statement changed, in the order in which sqlx wants them.
pub(super) type Outcome<E> = Vec<Either<DataApiQueryResult, DataApiRow<E>>>;

impl<E: DataApiEngine> DataApiConnection<E> {
    pub(crate) fn new(client: Arc<Client>, target: Target, log: LogSettings) -> Self {
        Self {
            client,
            target,
            log,
            state: State::default(),
            lock: None,
            engine: PhantomData,
        }
    }

    pub(super) async fn run(
        &mut self,
        sql: SqlStr,
        arguments: Option<DataApiArguments<E>>,
        repeatable: Repeatable,
    ) -> Result<Outcome<E>, Error> {
        self.flush_rollback().await?;
        let statements = match &arguments {
            Some(_) => Vec::new(),
            None => sql::split(E::DIALECT, sql.as_str()),
        };
        if statements.len() < 2 {
            return self.run_one(sql, arguments, repeatable).await;
        }
        self.run_script(sql).await
    }

    pub(super) async fn run_one(
        &mut self,
        sql: SqlStr,
        arguments: Option<DataApiArguments<E>>,
        repeatable: Repeatable,
    ) -> Result<Outcome<E>, Error> {
        self.state.check()?;
        self.refuse_control(sql.as_str())?;
        let mut logger = QueryLogger::new(sql.clone(), self.log.clone());
        let arguments = arguments.unwrap_or_default();
        let text = translate(sql.as_str(), &arguments)?;
        let repeatable = match self.state.id() {
            Some(_) => Repeatable::IfNotExecuted,
            None => repeatable,
        };
        limits::check_request(limits::text_size(&text), arguments.sizes())?;
        let id = self.state.id().map(str::to_owned);
        self.state.asked();
        let result = self.send_statement(id, &text, &arguments, repeatable).await;
        self.state.answered(&result);
        let outcome = understand(result?);
        for step in &outcome {
            match step {
                Either::Left(result) => logger.increase_rows_affected(result.rows_affected()),
                Either::Right(_) => logger.increment_rows_returned(),
            }
        }
        Ok(outcome)
    }

    /// A session is a transaction's at most: what is said to it otherwise is lost, and no error.
    pub(super) fn refuse_control(&self, sql: &str) -> Result<(), Error> {
        match sql::control(E::DIALECT, sql) {
            None => Ok(()),
            Some(Control::Savepoint) if self.state.id().is_some() => Ok(()),
            Some(_) => Err(Error::Protocol(
                "over the Data API transactions and savepoints begin and end by calls: write \
                 `begin()`, `commit()` and `rollback()`, and leave `BEGIN` and `COMMIT` out of \
                 scripts"
                    .to_owned(),
            )),
        }
    }

    /// Sends one statement as it is, without arguments.
    pub(super) async fn send_text(
        &self,
        transaction_id: Option<String>,
        sql: &str,
        repeatable: Repeatable,
    ) -> Result<ExecuteStatementOutput, Error> {
        let none = DataApiArguments::default();
        self.send_statement(transaction_id, sql, &none, repeatable)
            .await
    }

    async fn send_statement(
        &self,
        transaction_id: Option<String>,
        sql: &str,
        arguments: &DataApiArguments<E>,
        repeatable: Repeatable,
    ) -> Result<ExecuteStatementOutput, Error> {
        let bound = || Some(arguments.parameters()).filter(|bound| !bound.is_empty());
        let long = match E::DIALECT {
            Dialect::Postgres => LongReturnType::Long,
            // Since one that is above the largest `i64` would make the whole answer unreadable.
            Dialect::MySql => LongReturnType::String,
        };
        let forms = ResultSetOptions::builder()
            .decimal_return_type(DecimalReturnType::String)
            .long_return_type(long)
            .build();
        self.client
            .call(repeatable, |sdk| {
                sdk.execute_statement()
                    .resource_arn(&self.target.resource_arn)
                    .secret_arn(&self.target.secret_arn)
                    .set_database(self.target.database.clone())
                    .set_transaction_id(transaction_id.clone())
                    .sql(sql)
                    .set_parameters(bound())
                    .include_result_metadata(true)
                    .result_set_options(forms.clone())
                    .send()
            })
            .await
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

pub(super) fn translate<E: DataApiEngine>(
    sql: &str,
    arguments: &DataApiArguments<E>,
) -> Result<String, Error> {
    use sqlx_core::arguments::Arguments;

    let text = sql::translate(E::DIALECT, sql, arguments.len(), |number, out| {
        arguments.write_placeholder(number, out);
    })
    .map_err(|error| Error::Protocol(error.to_string()))?;
    limits::check_sql(&text)?;
    Ok(text)
}

fn understand<E: DataApiEngine>(answer: ExecuteStatementOutput) -> Outcome<E> {
    let last_insert_id = match answer.generated_fields.as_deref() {
        Some([Field::LongValue(id), ..]) => u64::try_from(*id).unwrap_or_default(),
        Some([Field::StringValue(id), ..]) => id.parse().unwrap_or_default(),
        _ => 0,
    };
    let mut rows_affected = u64::try_from(answer.number_of_records_updated).unwrap_or_default();
    let mut outcome = Vec::new();
    if let Some(metadata) = answer.column_metadata {
        let columns = Arc::new(Columns::of(metadata));
        let records = answer.records.unwrap_or_default();
        if E::DIALECT == Dialect::Postgres {
            // As PostgreSQL counts what it returns; the service leaves `RETURNING` out.
            rows_affected = rows_affected.max(records.len() as u64);
        }
        let rows = records.into_iter();
        outcome.extend(rows.map(|fields| Either::Right(DataApiRow::new(&columns, fields))));
    }
    outcome.push(Either::Left(DataApiQueryResult::new(
        rows_affected,
        last_insert_id,
    )));
    outcome
}

impl<E: DataApiEngine> Connection for DataApiConnection<E> {
    type Database = DataApi<E>;
    type Options = DataApiConnectOptions<E>;

    async fn close(mut self) -> Result<(), Error> {
        self.state.abandon();
        self.ping().await
    }

    async fn close_hard(self) -> Result<(), Error> {
        Ok(())
    }

    /// Asks nobody unless a transaction or the lock of migrations was left: there is no connection
    /// that could be lost.
    async fn ping(&mut self) -> Result<(), Error> {
        let flushed = self.flush_rollback().await;
        self.end_lock().await?;
        flushed
    }

    async fn begin(&mut self) -> Result<Transaction<'_, DataApi<E>>, Error> {
        Transaction::begin(self, None).await
    }

    fn shrink_buffers(&mut self) {}

    async fn flush(&mut self) -> Result<(), Error> {
        self.flush_rollback().await
    }

    fn should_flush(&self) -> bool {
        self.state.must_roll_back()
    }
}

impl<'c, E: DataApiEngine> Acquire<'c> for &'c mut DataApiConnection<E> {
    type Database = DataApi<E>;
    type Connection = Self;

    fn acquire(self) -> BoxFuture<'c, Result<Self, Error>> {
        Box::pin(std::future::ready(Ok(self)))
    }

    fn begin(self) -> BoxFuture<'c, Result<Transaction<'c, DataApi<E>>, Error>> {
        Transaction::begin(self, None)
    }
}

impl<'c, E: DataApiEngine> Executor<'c> for &'c mut DataApiConnection<E> {
    type Database = DataApi<E>;

    fn fetch_many<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxStream<'e, Result<Either<DataApiQueryResult, DataApiRow<E>>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApi<E>>,
    {
        steps(self, query, Repeatable::IfNotExecuted)
    }

    fn fetch_optional<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxFuture<'e, Result<Option<DataApiRow<E>>, Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, DataApi<E>>,
    {
        first(steps(self, query, Repeatable::IfNotExecuted))
    }

    /// Counts the placeholders; the service prepares nothing.
    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        _: &'e [DataApiTypeInfo],
    ) -> BoxFuture<'e, Result<DataApiStatement<E>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let parameters = sql::parameters(E::DIALECT, sql.as_str())
                .map_err(|error| Error::Protocol(error.to_string()))?;
            Ok(DataApiStatement::new(sql, parameters))
        })
    }

    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, Result<Describe<DataApi<E>>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async {
            Err(Error::Protocol(
                "the Data API describes no statement before it is run".to_owned(),
            ))
        })
    }
}

pub(super) fn steps<'e, 'q: 'e, E: DataApiEngine, Q>(
    connection: &'e mut DataApiConnection<E>,
    mut query: Q,
    repeatable: Repeatable,
) -> BoxStream<'e, Result<Either<DataApiQueryResult, DataApiRow<E>>, Error>>
where
    Q: 'q + Execute<'q, DataApi<E>>,
{
    let arguments = query.take_arguments().map_err(Error::Encode);
    let sql = query.sql();
    async move { connection.run(sql, arguments?, repeatable).await }
        .map_ok(|outcome| stream::iter(outcome.into_iter().map(Ok)))
        .try_flatten_stream()
        .boxed()
}

pub(super) fn first<E: DataApiEngine>(
    mut steps: BoxStream<'_, Result<Either<DataApiQueryResult, DataApiRow<E>>, Error>>,
) -> BoxFuture<'_, Result<Option<DataApiRow<E>>, Error>> {
    async move {
        while let Some(step) = steps.try_next().await? {
            if let Either::Right(row) = step {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
    .boxed()
}

impl<E> fmt::Debug for DataApiConnection<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiConnection")
            .field("target", &self.target)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
