//! Transactions: an id of the service's, and savepoints in it.

use std::marker::PhantomData;

use sqlx_core::Error;
use sqlx_core::sql_str::SqlStr;
use sqlx_core::transaction::TransactionManager;

use super::client::Repeatable;
use super::connection::DataApiConnection;
use super::sql::Dialect;
use super::{DataApi, DataApiEngine};
use crate::data_api_error::{DataApiError, Executed};
use crate::error::ConfigError;
use crate::kind::ErrorKind;

/// Begins, commits and rolls back, for sqlx.
#[derive(Debug)]
pub struct DataApiTransactionManager<E>(PhantomData<E>);

/// The transaction that a connection is in.
#[derive(Debug, Default)]
pub(crate) struct State {
    id: Option<String>,
    /// 1 in a transaction, and 1 more in each savepoint.
    depth: usize,
    /// Where a transaction that was dropped goes back to, with the next use.
    goes_back_to: Option<usize>,
    /// Whether a statement in it was not answered, so that nobody knows what it holds.
    is_doubtful: bool,
}

impl State {
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn depth(&self) -> usize {
        self.goes_back_to.unwrap_or(self.depth)
    }

    pub(crate) fn must_roll_back(&self) -> bool {
        self.goes_back_to.is_some()
    }

    /// The outermost transaction is left.
    pub(crate) fn abandon(&mut self) {
        if self.id.is_some() {
            self.goes_back_to = Some(0);
        }
    }

    /// What an error says of the transaction. A statement that took too long was answered.
    pub(crate) fn note(&mut self, error: &Error) {
        let is_lost = DataApiError::inside(error).is_some_and(|error| {
            error.executed == Executed::Unknown && error.kind != ErrorKind::Statement
        });
        self.is_doubtful |= self.id.is_some() && is_lost;
    }

    /// Nothing may build on a transaction that is not known.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.is_doubtful {
            return Ok(());
        }
        Err(DataApiError {
            name: "nothing".to_owned(),
            message: "a statement of this transaction was not answered".to_owned(),
            advice: "; roll it back, and run all of it again".into(),
            kind: ErrorKind::Disconnected,
            executed: Executed::No,
        }
        .into())
    }
}

impl<E: DataApiEngine> DataApiConnection<E> {
    /// Asks for a transaction. It may be begun twice: one that nobody knows ends by itself.
    pub(super) async fn new_transaction(&self) -> Result<Option<String>, Error> {
        let target = self.target();
        let begun = self.client().call(Repeatable::Always, |sdk| {
            sdk.begin_transaction()
                .resource_arn(&target.resource_arn)
                .secret_arn(&target.secret_arn)
                .set_database(target.database.clone())
                .send()
        });
        Ok(begun.await?.transaction_id)
    }

    pub(super) async fn begin_transaction(&mut self, modes: Option<&str>) -> Result<(), Error> {
        self.state = State {
            id: self.new_transaction().await?,
            depth: 1,
            ..State::default()
        };
        if let Some(modes) = modes {
            self.send_in_transaction(&format!("SET TRANSACTION {modes}"))
                .await?;
        }
        Ok(())
    }

    async fn send_in_transaction(&mut self, sql: &str) -> Result<(), Error> {
        self.state.check()?;
        let id = self.state.id.clone();
        let result = self.send_text(id, sql, Repeatable::IfNotExecuted).await;
        if let Err(error) = &result {
            self.state.note(error);
        }
        result.map(drop)
    }

    /// Begins a transaction that no guard of sqlx's watches over: where it is not committed, as
    /// after a call that was cancelled, the next use rolls it back.
    pub(super) async fn begin_unguarded(&mut self) -> Result<(), Error> {
        self.begin_transaction(None).await?;
        self.state.abandon();
        Ok(())
    }

    /// Where this is not answered nobody knows whether it took effect: it is not sent again. What
    /// did not is rolled back by the next use, since its locks would stay for 3 min.
    pub(super) async fn commit_transaction(&mut self) -> Result<(), Error> {
        self.state.check()?;
        self.state.abandon();
        let (target, id) = (self.target(), self.state.id.clone());
        let committed = self.client().call(Repeatable::IfNotExecuted, |sdk| {
            sdk.commit_transaction()
                .resource_arn(&target.resource_arn)
                .secret_arn(&target.secret_arn)
                .set_transaction_id(id.clone())
                .send()
        });
        committed.await?;
        self.state = State::default();
        Ok(())
    }

    /// Ends a transaction; one that the service does not know any more is ended.
    pub(super) async fn end_transaction(&self, id: Option<String>) -> Result<(), Error> {
        let target = self.target();
        let rolled_back = self.client().call(Repeatable::Always, |sdk| {
            sdk.rollback_transaction()
                .resource_arn(&target.resource_arn)
                .secret_arn(&target.secret_arn)
                .set_transaction_id(id.clone())
                .send()
        });
        match rolled_back.await {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Error> {
        let result = self.end_transaction(self.state.id.clone()).await;
        // Whatever came of it: the service ends what is not used.
        self.state = State::default();
        result
    }

    /// Goes back from a transaction or savepoint that was dropped.
    pub(super) async fn flush_rollback(&mut self) -> Result<(), Error> {
        match self.state.goes_back_to {
            None => Ok(()),
            Some(0) => self.roll_back().await,
            Some(depth) => {
                let savepoint = format!("ROLLBACK TO SAVEPOINT _sqlx_savepoint_{depth}");
                self.send_in_transaction(&savepoint).await?;
                self.state.depth = depth;
                self.state.goes_back_to = None;
                Ok(())
            }
        }
    }
}

fn is_gone(error: &Error) -> bool {
    let error = DataApiError::inside(error);
    error.is_some_and(|error| {
        matches!(
            error.name(),
            "TransactionNotFoundException" | "NotFoundException"
        )
    })
}

/// What a `BEGIN` of one's own says after that word.
fn modes_of(dialect: Dialect, statement: &str) -> Result<Option<String>, ConfigError> {
    let words: Vec<_> = statement
        .trim_end_matches([';', ' '])
        .split_whitespace()
        .collect();
    let rest = match words.as_slice() {
        [begin, rest @ ..] if begin.eq_ignore_ascii_case("BEGIN") => match rest {
            [word, rest @ ..]
                if word.eq_ignore_ascii_case("TRANSACTION")
                    || word.eq_ignore_ascii_case("WORK") =>
            {
                Some(rest)
            }
            rest => Some(rest),
        },
        [start, transaction, rest @ ..]
            if start.eq_ignore_ascii_case("START")
                && transaction.eq_ignore_ascii_case("TRANSACTION") =>
        {
            Some(rest)
        }
        _ => None,
    };
    match rest {
        Some([]) => Ok(None),
        Some(rest) if dialect == Dialect::Postgres => Ok(Some(rest.join(" "))),
        _ => Err(ConfigError::Conflict(
            "over the Data API a transaction begins by a call of its own; PostgreSQL takes modes, as \
             `BEGIN ISOLATION LEVEL SERIALIZABLE`, and MySQL none",
        )),
    }
}

impl<E: DataApiEngine> TransactionManager for DataApiTransactionManager<E> {
    type Database = DataApi<E>;

    async fn begin(
        connection: &mut DataApiConnection<E>,
        statement: Option<SqlStr>,
    ) -> Result<(), Error> {
        connection.flush_rollback().await?;
        let depth = connection.state.depth;
        if depth > 0 {
            if statement.is_some() {
                return Err(Error::InvalidSavePointStatement);
            }
            let savepoint = format!("SAVEPOINT _sqlx_savepoint_{depth}");
            connection.send_in_transaction(&savepoint).await?;
            connection.state.depth += 1;
            return Ok(());
        }
        let modes = match &statement {
            Some(statement) => modes_of(E::DIALECT, statement.as_str())?,
            None => None,
        };
        connection.begin_transaction(modes.as_deref()).await
    }

    async fn commit(connection: &mut DataApiConnection<E>) -> Result<(), Error> {
        match connection.state.depth {
            0 => Ok(()),
            1 => connection.commit_transaction().await,
            depth => {
                let depth = depth - 1;
                let release = format!("RELEASE SAVEPOINT _sqlx_savepoint_{depth}");
                connection.send_in_transaction(&release).await?;
                connection.state.depth = depth;
                Ok(())
            }
        }
    }

    async fn rollback(connection: &mut DataApiConnection<E>) -> Result<(), Error> {
        Self::start_rollback(connection);
        connection.flush_rollback().await
    }

    /// Kept for the next use: there is nobody to whom it could be said now.
    fn start_rollback(connection: &mut DataApiConnection<E>) {
        let state = &mut connection.state;
        if state.id.is_some() {
            state.goes_back_to = Some(state.depth().saturating_sub(1));
        }
    }

    fn get_transaction_depth(connection: &DataApiConnection<E>) -> usize {
        connection.state.depth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_in_doubt_after_no_answer() {
        for (kind, executed, doubtful) in [
            (ErrorKind::Disconnected, Executed::Unknown, true),
            (ErrorKind::Unavailable, Executed::Unknown, true),
            (ErrorKind::Statement, Executed::Unknown, false),
            (ErrorKind::Statement, Executed::Yes, false),
            (ErrorKind::Disconnected, Executed::No, false),
        ] {
            let mut state = State {
                id: Some("id".to_owned()),
                depth: 1,
                ..State::default()
            };
            let error = DataApiError {
                name: "nothing".to_owned(),
                message: String::new(),
                advice: "".into(),
                kind,
                executed,
            };
            state.note(&error.into());
            assert_eq!(state.check().is_err(), doubtful, "{kind:?} {executed:?}");
        }
    }
}
