//! A session of MySQL, and its words for what went wrong.

use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{
    MySqlArguments, MySqlColumn, MySqlConnectOptions, MySqlDatabaseError, MySqlQueryResult,
    MySqlRow, MySqlSslMode,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Either, Executor as _, MySqlConnection,
    SqlSafeStr as _, Statement as _,
};

use super::catalog;
use super::value::{self, Protocol};
use crate::data_api::exception::Exception;
use crate::data_api::field::Field;
use crate::data_api::outcome::{Column, Outcome};
use crate::data_api::request::{Parameter, Wish};
use crate::data_api::scanner::{Dialect, is_multistatement, translate};
use crate::data_api::session::Login;

pub(in crate::data_api) struct MySqlSession {
    connection: MySqlConnection,
    options: Box<MySqlConnectOptions>,
    id: u64,
    /// For the catalog: a statement between a client's own would change what `FOUND_ROWS()` says.
    catalog: Option<MySqlConnection>,
}

/// Statements that the server cannot prepare.
const NOT_PREPARABLE: u16 = 1295;

const SYNTAX_ERROR: u16 = 1064;

impl MySqlSession {
    pub(in crate::data_api) async fn connect(
        socket: PathBuf,
        login: &Login,
    ) -> Result<Self, Exception> {
        let mut options = MySqlConnectOptions::new()
            .socket(socket)
            .username(&login.username)
            .password(&login.password)
            .ssl_mode(MySqlSslMode::Disabled)
            // The SQL modes are to be the server's own.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .disable_statement_logging();
        if let Some(database) = &login.database {
            options = options.database(database);
        }
        let mut connection = options.connect().await.map_err(exception)?;
        let id = sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS UNSIGNED)");
        let id = id.fetch_one(&mut connection).await.map_err(exception)?;
        Ok(Self {
            connection,
            options: Box::new(options),
            id,
            catalog: None,
        })
    }

    pub(in crate::data_api) async fn execute(
        &mut self,
        sql: &str,
        dialect: Dialect,
        parameters: &[Parameter],
        wish: Wish,
    ) -> Result<Outcome, Exception> {
        let names: Vec<&str> = parameters.iter().map(|known| known.name.as_str()).collect();
        let translated = translate(sql, dialect, &names);
        if let Some(missing) = translated.missing {
            let message = format!("Cannot find parameter: {missing}");
            return Err(Exception::bad_request(message));
        }
        let prepared = AssertSqlSafe(translated.sql.clone()).into_sql_str();
        let statement = match self.connection.prepare(prepared).await {
            Ok(statement) => statement,
            Err(error) if number(&error) == Some(NOT_PREPARABLE) => {
                return self.execute_text(translated.sql, wish).await;
            }
            Err(error)
                if number(&error) == Some(SYNTAX_ERROR)
                    && is_multistatement(sql, dialect.engine) =>
            {
                return Err(Exception::multistatement());
            }
            Err(error) => return Err(exception(error)),
        };
        let mut columns = statement.columns().to_vec();
        let mut outcome = Outcome {
            columns: (!columns.is_empty()).then(|| columns.iter().map(value::describe).collect()),
            ..Outcome::default()
        };
        let unsupported = columns.iter().find_map(|column| value::check(column).err());
        let mut arguments = MySqlArguments::default();
        for at in translated.bound {
            add(&mut arguments, &parameters[at].value)?;
        }
        let query = statement.query_with(arguments);
        let mut results = (&mut self.connection).fetch_many(query);
        while let Some(result) = results.try_next().await.map_err(exception)? {
            if let (Either::Right(row), true) = (&result, outcome.rows.is_empty()) {
                // An expression of parameters has its type only once they are bound.
                columns = sqlx::Row::columns(row).to_vec();
                outcome.columns = Some(columns.iter().map(value::describe).collect());
            }
            take(&mut outcome, result, Protocol::Binary, wish)?;
        }
        drop(results);
        if let Some(exception) = unsupported {
            return Err(exception);
        }
        if let (true, Some(described)) = (wish.metadata, &mut outcome.columns) {
            self.complete(&columns, described)
                .await
                .map_err(exception)?;
        }
        Ok(outcome)
    }

    async fn complete(
        &mut self,
        columns: &[MySqlColumn],
        described: &mut [Column],
    ) -> Result<(), sqlx::Error> {
        let connection = match &mut self.catalog {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        catalog::complete(connection, columns, described).await
    }

    async fn execute_text(&mut self, sql: String, wish: Wish) -> Result<Outcome, Exception> {
        let mut outcome = Outcome::default();
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        let mut results = query.fetch_many(&mut self.connection);
        while let Some(result) = results.try_next().await.map_err(exception)? {
            take(&mut outcome, result, Protocol::Text, wish)?;
        }
        Ok(outcome)
    }

    /// Runs `BEGIN` and the like.
    pub(in crate::data_api) async fn control(
        &mut self,
        sql: &'static str,
    ) -> Result<(), Exception> {
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
        done.map(drop).map_err(exception)
    }

    pub(in crate::data_api) fn id(&self) -> u64 {
        self.id
    }

    pub(in crate::data_api) fn canceller(&self) -> Canceller {
        Canceller {
            options: self.options.clone(),
            id: self.id,
        }
    }
}

/// Takes a row or an end into what a statement has led to.
fn take(
    outcome: &mut Outcome,
    result: Either<MySqlQueryResult, MySqlRow>,
    protocol: Protocol,
    wish: Wish,
) -> Result<(), Exception> {
    match result {
        Either::Right(row) => {
            if outcome.columns.is_none() {
                let columns = sqlx::Row::columns(&row);
                outcome.columns = Some(columns.iter().map(value::describe).collect());
            }
            outcome.rows.push(value::fields(&row, protocol, wish)?);
        }
        Either::Left(_) if outcome.columns.is_some() => {}
        Either::Left(end) => {
            outcome.updated += end.rows_affected();
            if end.last_insert_id() != 0 {
                let id = end.last_insert_id();
                let id = i64::try_from(id).map_or(Field::Unsigned(id), Field::Long);
                outcome.generated = vec![id];
            }
        }
    }
    Ok(())
}

/// Binds a value by its own type; hints are about text, which MySQL converts by itself.
fn add(arguments: &mut MySqlArguments, value: &Field) -> Result<(), Exception> {
    let added = match value {
        Field::Null | Field::Array(..) => arguments.add(None::<String>),
        Field::Boolean(value) => arguments.add(*value),
        Field::Long(value) => arguments.add(*value),
        Field::Unsigned(value) => arguments.add(*value),
        Field::Double(value) => arguments.add(*value),
        Field::String(value) => arguments.add(value.clone()),
        Field::Blob(value) => arguments.add(value.clone()),
    };
    added.map_err(|error| Exception::bad_request(error.to_string()))
}

/// Interrupts a session's statement.
pub(in crate::data_api) struct Canceller {
    options: Box<MySqlConnectOptions>,
    id: u64,
}

impl Canceller {
    pub(in crate::data_api) async fn cancel(self) {
        let kill = sqlx::raw_sql(AssertSqlSafe(format!("KILL QUERY {}", self.id)));
        if let Ok(mut connection) = self.options.connect().await {
            // The statement may have ended just now.
            let _ = kill.execute(&mut connection).await;
        }
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// An error as the service writes it.
fn exception(error: sqlx::Error) -> Exception {
    let Some(told) = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
    else {
        return Exception::database_unavailable();
    };
    let (number, state) = (told.number(), told.code().unwrap_or("HY000"));
    Exception::database(format!(
        "{}; Error code: {number}; SQLState: {state}",
        told.message()
    ))
}
