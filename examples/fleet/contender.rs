//! Ways to get at a database, and how they fail.

use clap::ValueEnum;

/// How a worker gets at its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// One process with as many connections as there are, opened beforehand: what no fleet can do.
    Ideal,
    /// sqlx-rds straight on the server, and no more workers at once than its plan advises: the
    /// function's reserved concurrency. Other requests wait before the function.
    Direct,
    /// sqlx-rds by a fleet's plan, through an RDS Proxy.
    Proxy,
    /// sqlx-rds straight on the server, by the plan for ten times as many workers as connections.
    Crowd,
    /// `sqlx::PgPool` with its defaults.
    SqlxPool,
    /// A connection for every request.
    PerRequest,
}

impl Contender {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ideal,
        Self::Direct,
        Self::Proxy,
        Self::Crowd,
        Self::SqlxPool,
        Self::PerRequest,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ideal => "one process, ideal",
            Self::Direct => "sqlx-rds, as planned",
            Self::Proxy => "sqlx-rds, RDS Proxy",
            Self::Crowd => "sqlx-rds, overcrowded",
            Self::SqlxPool => "sqlx::PgPool defaults",
            Self::PerRequest => "connection per request",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Direct | Self::Proxy | Self::Crowd)
    }

    /// Whether a connection of the server is lent for a query at a time.
    pub(crate) fn shares(self) -> bool {
        matches!(self, Self::Ideal | Self::Proxy)
    }
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    TooManyConnections,
    Other,
}
