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
        match begun.await?.transaction_id {
            None => Err(Error::BeginFailed),
            id => Ok(id),
        }
    }

    async fn begin_transaction(&mut self, modes: Option<&str>) -> Result<(), Error> {
        let id = self.new_transaction().await?;
        self.state.has_begun(id);
        if let Some(modes) = modes {
            self.send_in_transaction(&format!("SET TRANSACTION {modes}"))
                .await?;
        }
        Ok(())
    }

    async fn send_in_transaction(&mut self, sql: &str) -> Result<(), Error> {
        self.state.check()?;
        self.state.asked();
        let id = self.state.id().map(str::to_owned);
        let result = self.send_text(id, sql, Repeatable::IfNotExecuted).await;
        self.state.answered(&result);
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
        let (target, id) = (self.target(), self.state.id().map(str::to_owned));
        let committed = self.client().call(Repeatable::IfNotExecuted, |sdk| {
            sdk.commit_transaction()
                .resource_arn(&target.resource_arn)
                .secret_arn(&target.secret_arn)
                .set_transaction_id(id.clone())
                .send()
        });
        let status = committed.await?.transaction_status;
        self.state.end();
        match status {
            Some(status) if status.starts_with("Rollback") => Err(rolled_back(&status)),
            _ => Ok(()),
        }
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
        let result = self
            .end_transaction(self.state.id().map(str::to_owned))
            .await;
        // Whatever came of it: the service ends what is not used.
        self.state.end();
        result
    }

    /// Goes back from a transaction or savepoint that was dropped.
    pub(super) async fn flush_rollback(&mut self) -> Result<(), Error> {
        match self.state.goes_back_to() {
            None => Ok(()),
            Some(0) => {
                // Where it is not answered the service ends it, and what follows was not sent yet.
                let _ = self.roll_back().await;
                Ok(())
            }
            Some(depth) => {
                let savepoint = format!("ROLLBACK TO SAVEPOINT _sqlx_savepoint_{depth}");
                self.send_in_transaction(&savepoint).await?;
                self.state.went_back();
                Ok(())
            }
        }
    }
}

/// A `COMMIT` of what an error had ended already.
fn rolled_back(status: &str) -> Error {
    DataApiError {
        name: format!("`{status}`"),
        message: "the transaction was rolled back, not committed".to_owned(),
        advice: "; an earlier statement of it has failed: pass its error on".into(),
        kind: ErrorKind::Statement,
        executed: Executed::No,
    }
    .into()
}

fn is_gone(error: &Error) -> bool {
    let error = DataApiError::of(error);
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
        // First of all, since sqlx's guard is there whatever this comes to.
        connection.state.enter();
        connection.flush_rollback().await?;
        let outer = connection.state.depth() - 1;
        if outer > 0 {
            if statement.is_some() {
                return Err(Error::InvalidSavePointStatement);
            }
            let savepoint = format!("SAVEPOINT _sqlx_savepoint_{outer}");
            connection.send_in_transaction(&savepoint).await?;
        } else {
            let modes = match &statement {
                Some(statement) => modes_of(E::DIALECT, statement.as_str())?,
                None => None,
            };
            connection.begin_transaction(modes.as_deref()).await?;
        }
        connection.state.has_entered();
        Ok(())
    }

    async fn commit(connection: &mut DataApiConnection<E>) -> Result<(), Error> {
        connection.flush_rollback().await?;
        connection.state.check()?;
        match connection.state.depth() {
            0 | 1 => connection.commit_transaction().await?,
            depth => {
                let release = format!("RELEASE SAVEPOINT _sqlx_savepoint_{}", depth - 1);
                connection.send_in_transaction(&release).await?;
            }
        }
        connection.state.exit();
        Ok(())
    }

    /// Where this fails its guard is dropped, and the next use goes back.
    async fn rollback(connection: &mut DataApiConnection<E>) -> Result<(), Error> {
        match connection.state.depth() {
            0 | 1 => connection.roll_back().await?,
            depth => {
                connection.flush_rollback().await?;
                let savepoint = format!("ROLLBACK TO SAVEPOINT _sqlx_savepoint_{}", depth - 1);
                connection.send_in_transaction(&savepoint).await?;
            }
        }
        connection.state.exit();
        Ok(())
    }

    /// Kept for the next use: there is nobody to whom it could be said now.
    fn start_rollback(connection: &mut DataApiConnection<E>) {
        connection.state.leave();
    }

    fn get_transaction_depth(connection: &DataApiConnection<E>) -> usize {
        connection.state.depth()
    }
}
