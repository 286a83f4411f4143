//! A session of PostgreSQL, and its words for what went wrong.

use std::path::PathBuf;

use super::wire::{Answer, ServerError, Wire, WireError};
use super::{bind, catalog, text};
use crate::data_api::exception::Exception;
use crate::data_api::field::Field;
use crate::data_api::outcome::{Column, Outcome};
use crate::data_api::request::{Parameter, Wish};
use crate::data_api::scanner::{Dialect, translate};
use crate::data_api::session::Login;

pub(in crate::data_api) struct PgSession {
    wire: Wire,
}

impl PgSession {
    pub(in crate::data_api) async fn connect(
        socket: PathBuf,
        login: &Login,
    ) -> Result<Self, Exception> {
        let database = login.database.as_deref().unwrap_or(&login.username);
        let wire = Wire::connect(socket, &login.username, &login.password, database);
        let wire = wire.await.map_err(exception)?;
        Ok(Self { wire })
    }

    pub(in crate::data_api) async fn execute(
        &mut self,
        sql: &str,
        dialect: Dialect,
        parameters: &[Parameter],
        wish: Wish,
    ) -> Result<Outcome, Exception> {
        if sql.contains('\0') {
            let message = "ERROR: invalid byte sequence for encoding \"UTF8\": 0x00";
            return Err(Exception::database(format!("{message}; SQLState: 22021")));
        }
        let names: Vec<&str> = parameters.iter().map(|known| known.name.as_str()).collect();
        let translated = translate(sql, dialect, &names);
        let bound: Vec<_> = translated
            .bound
            .iter()
            .map(|at| bind::bind(&parameters[*at]))
            .collect();
        let answer = self
            .wire
            .run(&translated.sql, &bound)
            .await
            .map_err(exception)?;
        self.outcome(answer, wish).await
    }

    async fn outcome(&mut self, answer: Answer, wish: Wish) -> Result<Outcome, Exception> {
        let Some(described) = answer.columns else {
            let count = answer.tag.rsplit(' ').next();
            return Ok(Outcome {
                updated: count.and_then(|count| count.parse().ok()).unwrap_or(0),
                ..Outcome::default()
            });
        };
        let types = catalog::types(&mut self.wire, &described);
        let types = types.await.map_err(exception)?;
        for of in &types {
            text::check(of, wish)?;
        }
        let columns = match wish.metadata {
            true => catalog::describe(&mut self.wire, &described, &types)
                .await
                .map_err(exception)?,
            false => described
                .iter()
                .map(|described| Column {
                    label: described.name.clone(),
                    ..Column::default()
                })
                .collect(),
        };
        let read = |row: Vec<Option<String>>| {
            row.into_iter()
                .zip(&types)
                .map(|(value, of)| {
                    value.map_or(Ok(Field::Null), |text| text::field(text, of, wish))
                })
                .collect::<Result<Vec<Field>, Exception>>()
        };
        let rows: Result<Vec<_>, Exception> = answer.rows.into_iter().map(read).collect();
        Ok(Outcome {
            columns: Some(columns),
            rows: rows?,
            ..Outcome::default()
        })
    }

    /// Runs `BEGIN` and the like.
    pub(in crate::data_api) async fn control(&mut self, sql: &str) -> Result<(), Exception> {
        self.wire.query(sql).await.map(drop).map_err(exception)
    }

    pub(in crate::data_api) fn id(&self) -> u64 {
        self.wire.process()
    }

    pub(in crate::data_api) fn canceller(&self) -> Canceller {
        Canceller(self.wire.canceller())
    }
}

/// Interrupts a session's statement.
pub(in crate::data_api) struct Canceller((PathBuf, Vec<u8>));

impl Canceller {
    pub(in crate::data_api) async fn cancel(self) {
        // Where it fails, the server is gone and the statement with it.
        let _ = super::wire::cancel(self.0).await;
    }
}

fn exception(error: WireError) -> Exception {
    match error {
        WireError::Io(error) => {
            tracing::debug!(%error, "no connection for the Data API");
            Exception::database_unavailable()
        }
        WireError::Copy(message) => Exception::database(format!("unexpected message: {message}")),
        // The server is starting, stopping or full.
        WireError::Server(error) if error.code.starts_with("57P") => {
            Exception::database_unavailable()
        }
        WireError::Server(error)
            if error.message.starts_with("cannot insert multiple commands") =>
        {
            Exception::multistatement()
        }
        WireError::Server(error) => Exception::database(told(&error)),
    }
}

/// An error as the service writes it, which leaves the detail out.
fn told(error: &ServerError) -> String {
    let ServerError {
        severity,
        code,
        message,
        hint,
        position,
    } = error;
    let mut told = match severity.is_empty() {
        true => message.clone(),
        false => format!("{severity}: {message}"),
    };
    for (name, value) in [("Hint", hint), ("Position", position)] {
        if let Some(value) = value {
            told += &format!("; {name}: {value}");
        }
    }
    format!("{told}; SQLState: {code}")
}
