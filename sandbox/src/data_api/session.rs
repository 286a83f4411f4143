//! A session on one of the real servers.

use super::exception::Exception;
use super::mysql::{self, MySqlSession};
use super::outcome::Outcome;
use super::postgres::{self, PgSession};
use super::request::{Parameter, Wish};
use super::scanner::Dialect;
use crate::gateway::Upstream as _;
use crate::server::Backend;

/// Who logs in, and where to.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) database: Option<String>,
}

pub(super) enum Session {
    Postgres(PgSession),
    MySql(MySqlSession),
}

/// Interrupts what a session runs.
pub(super) enum Canceller {
    Postgres(postgres::Canceller),
    MySql(mysql::Canceller),
}

impl Session {
    pub(super) async fn connect(backend: &Backend, login: &Login) -> Result<Self, Exception> {
        Ok(match backend {
            Backend::Postgres(server) => {
                Self::Postgres(PgSession::connect(server.socket(), login).await?)
            }
            Backend::MariaDb(server) => {
                Self::MySql(MySqlSession::connect(server.socket(), login).await?)
            }
        })
    }

    pub(super) async fn execute(
        &mut self,
        sql: &str,
        dialect: Dialect,
        parameters: &[Parameter],
        wish: Wish,
    ) -> Result<Outcome, Exception> {
        match self {
            Self::Postgres(session) => session.execute(sql, dialect, parameters, wish).await,
            Self::MySql(session) => session.execute(sql, dialect, parameters, wish).await,
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Exception> {
        self.control("BEGIN").await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Exception> {
        self.control("COMMIT").await
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Exception> {
        self.control("ROLLBACK").await
    }

    /// Leaves a transaction as an interrupted statement does: PostgreSQL takes no more in it.
    pub(super) async fn abort(&mut self) {
        if let Self::Postgres(session) = self {
            // It fails, which is all that it is for.
            let _ = session.control("SELECT 1/0").await;
        }
    }

    async fn control(&mut self, sql: &'static str) -> Result<(), Exception> {
        match self {
            Self::Postgres(session) => session.control(sql).await,
            Self::MySql(session) => session.control(sql).await,
        }
    }

    /// The session's number on the server.
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Postgres(session) => session.id(),
            Self::MySql(session) => session.id(),
        }
    }

    pub(super) fn canceller(&self) -> Canceller {
        match self {
            Self::Postgres(session) => Canceller::Postgres(session.canceller()),
            Self::MySql(session) => Canceller::MySql(session.canceller()),
        }
    }
}

impl Canceller {
    pub(super) async fn cancel(self) {
        match self {
            Self::Postgres(canceller) => canceller.cancel().await,
            Self::MySql(canceller) => canceller.cancel().await,
        }
    }
}
