//! Text of several statements, which the service takes one at a time.

use sqlx_core::Error;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::client::Repeatable;
use super::connection::{DataApiConnection, Outcome, translate};
use super::sql::{self, Dialect};
use super::{DataApiArguments, DataApiEngine};
use crate::data_api_error::{DataApiError, Executed};

impl<E: DataApiEngine> DataApiConnection<E> {
    /// Runs it in one session, and outside of a transaction in one of its own.
    pub(super) async fn run_script(&mut self, sql: SqlStr) -> Result<Outcome<E>, Error> {
        if self.state.depth() > 0 {
            return self.run_statements(sql, false).await;
        }
        // Text without arguments may hold several statements, which PostgreSQL takes for one
        // transaction, and which need one session on MySQL.
        self.begin_unguarded().await?;
        let outcome = self.run_statements(sql, false).await;
        match (outcome, E::DIALECT) {
            // Those before a mistake stay done, as each would be by itself.
            (outcome @ (Ok(_) | Err(Error::Database(_))), Dialect::MySql)
            | (outcome @ Ok(_), Dialect::Postgres) => {
                self.commit_transaction().await?;
                outcome
            }
            (Err(error), dialect) => {
                let _ = self.roll_back().await;
                Err(match dialect {
                    Dialect::Postgres => DataApiError::with_executed(error, Executed::No),
                    // DDL has committed itself and all before it.
                    Dialect::MySql => DataApiError::with_executed(error, Executed::Unknown),
                })
            }
        }
    }

    /// One after the other, since the service takes one at a time. A migration keeps its lock
    /// meanwhile.
    pub(super) async fn run_statements(
        &mut self,
        sql: SqlStr,
        is_migration: bool,
    ) -> Result<Outcome<E>, Error> {
        let statements = sql::split(E::DIALECT, sql.as_str());
        // Before any of them is run, since MySQL would keep those before a mistake.
        for statement in &statements {
            self.refuse_control(statement)?;
            translate(statement, &DataApiArguments::<E>::default())?;
        }
        let mut outcome = Vec::new();
        for statement in statements {
            if is_migration {
                self.keep_lock().await?;
            }
            let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
            outcome.extend(
                self.run_one(statement, None, Repeatable::IfNotExecuted)
                    .await?,
            );
        }
        Ok(outcome)
    }
}
