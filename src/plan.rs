//! What the workers of a fleet should be set to, and what will not go well with it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What is set on an RDS Proxy, under AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// `MaxConnectionsPercent`: how much of the server's `max_connections` the proxy may open.
    pub max_connections_percent: u32,
    /// `MaxIdleConnectionsPercent`: how much of it the proxy may keep open unused.
    pub max_idle_connections_percent: u32,
    /// `ConnectionBorrowTimeout`: how long a client waits for a connection, in whole seconds.
    pub connection_borrow_timeout: Duration,
}

impl Default for ProxySettings {
    /// AWS's own: 100 %, 50 % and 120 s (Amazon RDS user guide, "RDS Proxy connection
    /// considerations").
    fn default() -> Self {
        Self {
            max_connections_percent: 100,
            max_idle_connections_percent: 50,
            connection_borrow_timeout: Duration::from_secs(120),
        }
    }
}

/// What a [`Fleet`](crate::Fleet) should be set to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The connections of the server that this fleet may use.
    pub budget: u32,
    /// The workers that may be alive at once, those of overlapping deployments among them.
    pub workers: u32,
    /// [`PoolOptions::max_connections`](crate::PoolOptions::max_connections) of each worker.
    pub max_connections: u32,
    /// [`PoolOptions::acquire_timeout`](crate::PoolOptions::acquire_timeout).
    pub acquire_timeout: Duration,
    /// [`PoolOptions::idle_timeout`](crate::PoolOptions::idle_timeout).
    pub idle_timeout: Duration,
    /// [`ConnectOptions::idle_session_timeout`](crate::ConnectOptions::idle_session_timeout): where
    /// there is less than one connection a worker, those of workers that have nothing to do, or are
    /// frozen, must soon go to others.
    pub idle_session_timeout: Option<Duration>,
    /// [`PoolOptions::max_lifetime`](crate::PoolOptions::max_lifetime).
    pub max_lifetime: Duration,
    /// How long a worker waits at most, in the beginning, before it tries again a server that was
    /// full: so long that all workers together do not try more often than it can answer.
    pub full_retry: Duration,
    /// [`ConnectOptions::max_connects_per_second`](crate::ConnectOptions::max_connects_per_second)
    /// of each worker.
    pub max_connects_per_second: NonZeroU32,
    /// What the RDS Proxy should be set to, or is.
    pub proxy: Option<ProxySettings>,
    /// What will not go well.
    pub warnings: Vec<PlanWarning>,
}

/// Something that will not go well with a [`Plan`], in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanWarning {
    /// Not every worker can have a connection at once.
    CapBelowOne {
        /// The workers that may be alive at once.
        workers: u32,
        /// The connections for them.
        budget: u32,
    },
    /// Unused connections may leave too little to others: a migration, a report, a writer of
    /// another service.
    IdleStarvesOthers {
        /// Those that may be open and unused.
        idle: u32,
        /// What the server then has for everybody else.
        left: u32,
    },
    /// The proxy lets a client wait for longer than it can.
    BorrowTimeoutTooLong {
        /// `ConnectionBorrowTimeout`.
        borrow: Duration,
        /// The function's or request's timeout.
        timeout: Duration,
    },
    /// When all workers connect anew, the server is busy with logins for longer than a request may
    /// take.
    LoginWave {
        /// The connections that may be opened anew.
        connections: u32,
        /// The IAM logins that the server serves in a second.
        per_second: u32,
        /// The time for them.
        lasts: Duration,
    },
    /// Through an RDS Proxy, MySQL's prepared statements hold a connection each, so that sharing
    /// helps idle workers only.
    Pinned {
        /// The workers' connections to the proxy.
        clients: u32,
        /// The proxy's to the server.
        connections: u32,
    },
}

impl fmt::Display for PlanWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapBelowOne { workers, budget } => write!(
                f,
                "{workers} workers share {budget} connections, less than one each: at a peak they \
                 wait for each other's to become idle for a moment; put an RDS Proxy between, or \
                 let no more than {budget} workers run"
            ),
            Self::IdleStarvesOthers { idle, left } => write!(
                f,
                "up to {idle} connections may be open and unused, which leaves {left} to everybody \
                 else, migrations and other writers among them; lower the share, the workers, or \
                 the proxy's MaxIdleConnectionsPercent"
            ),
            Self::BorrowTimeoutTooLong { borrow, timeout } => write!(
                f,
                "the proxy lets a client wait {} s for a connection, and a request has {:.1} s: \
                 it would die waiting, without an error that says why; lower \
                 ConnectionBorrowTimeout",
                borrow.as_secs(),
                timeout.as_secs_f64()
            ),
            Self::LoginWave {
                connections,
                per_second,
                lasts,
            } => write!(
                f,
                "{connections} connections that log in anew, as after a failover, take {} s at the \
                 {per_second} IAM logins a second that the server serves, longer than a request \
                 waits; put an RDS Proxy between, or hold fewer connections",
                lasts.as_secs()
            ),
            Self::Pinned {
                clients,
                connections,
            } => write!(
                f,
                "on MySQL a query with arguments is a prepared statement, which pins its \
                 connection: {clients} clients of the proxy can keep all of its {connections} \
                 connections; close connections that are idle, or let fewer workers run"
            ),
        }
    }
}
