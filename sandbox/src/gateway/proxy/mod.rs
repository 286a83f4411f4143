//! What makes a gateway an RDS Proxy: client connections end here, and each transaction borrows
//! a connection to the database.

mod lender;
mod pin;
mod sql;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::mysql::MySqlServer;
use super::postgres::PgServer;

pub(super) use self::lender::{
    BorrowError, ConnectError, Connecting, Lease, Lender, ServerSession,
};
pub(super) use self::pin::{Effect, mysql_effect, postgres_effect};

/// The settings of a gateway in proxy mode, by the names and with the defaults of RDS Proxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// How many connections to the database it may hold. Default: 100.
    ///
    /// RDS takes a share, `MaxConnectionsPercent`, of the database's `max_connections`.
    pub max_connections: usize,
    /// How many clients may be logged in. Default: 10,000. AWS does not say what its own limit is.
    pub max_client_connections: usize,
    /// `ConnectionBorrowTimeout`: how long a client waits for a connection to the database.
    /// Default: 120 s.
    pub connection_borrow_timeout: Duration,
    /// `IdleClientTimeout`: a client that is silent for longer is cut. Default: 1,800 s.
    pub idle_client_timeout: Duration,
    /// A client is cut at this age. Default, and fixed on RDS: 24 hours.
    pub client_connection_lifetime: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            max_connections: 100,
            max_client_connections: 10_000,
            connection_borrow_timeout: Duration::from_secs(120),
            idle_client_timeout: Duration::from_secs(1_800),
            client_connection_lifetime: Duration::from_secs(24 * 3_600),
        }
    }
}

impl ProxyOptions {
    /// Sets [`max_connections`](Self::max_connections).
    #[must_use]
    pub fn with_max_connections(self, max_connections: usize) -> Self {
        Self {
            max_connections,
            ..self
        }
    }

    /// Sets [`max_client_connections`](Self::max_client_connections).
    #[must_use]
    pub fn with_max_client_connections(self, max_client_connections: usize) -> Self {
        Self {
            max_client_connections,
            ..self
        }
    }

    /// Sets [`connection_borrow_timeout`](Self::connection_borrow_timeout).
    #[must_use]
    pub fn with_connection_borrow_timeout(self, connection_borrow_timeout: Duration) -> Self {
        Self {
            connection_borrow_timeout,
            ..self
        }
    }
}

/// What a proxy is doing, by the names of RDS Proxy's metrics in CloudWatch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyMetrics {
    /// Clients that are logged in.
    pub client_connections: usize,
    /// Connections to the database, lent and idle.
    pub database_connections: usize,
    /// Those that are lent to a client.
    pub database_connections_currently_borrowed: usize,
    /// Those that are lent until their client leaves.
    pub database_connections_currently_session_pinned: usize,
    /// Why sessions were pinned, oldest first: the last 1,000 reasons.
    pub pins: Vec<String>,
}

/// What all clients of one proxy share.
pub(super) struct Proxy {
    pub(super) options: ProxyOptions,
    pub(super) postgres: Arc<Lender<PgServer>>,
    pub(super) mysql: Arc<Lender<MySqlServer>>,
    memory: Mutex<Memory>,
}

/// What a proxy goes on knowing while its database is away.
#[derive(Default)]
struct Memory {
    iam_users: HashSet<String>,
    /// `ParameterStatus` messages, by what the client asked for.
    parameters: HashMap<Vec<u8>, Bytes>,
    /// How the MySQL server greets.
    greeting: Option<Vec<u8>>,
    pins: Vec<String>,
}

impl Proxy {
    pub(super) fn new(options: ProxyOptions) -> Self {
        Self {
            postgres: Arc::new(Lender::new(options.max_connections)),
            mysql: Arc::new(Lender::new(options.max_connections)),
            options,
            memory: Mutex::default(),
        }
    }

    pub(super) fn metrics(&self, client_connections: usize) -> ProxyMetrics {
        // A gateway speaks one protocol, so one of these lends nothing.
        let (postgres, mysql) = (self.postgres.counts(), self.mysql.counts());
        ProxyMetrics {
            client_connections,
            database_connections: postgres.open + mysql.open,
            database_connections_currently_borrowed: postgres.lent + mysql.lent,
            database_connections_currently_session_pinned: postgres.pinned + mysql.pinned,
            pins: self.memory().pins.clone(),
        }
    }

    pub(super) fn note_pin(&self, reason: &str) {
        let pins = &mut self.memory().pins;
        if pins.len() == MAX_PINS {
            pins.remove(0);
        }
        pins.push(reason.to_owned());
    }

    pub(super) fn knows_iam_user(&self, username: &str) -> bool {
        self.memory().iam_users.contains(username)
    }

    pub(super) fn learn_iam_user(&self, username: &str) {
        self.memory().iam_users.insert(username.to_owned());
    }

    pub(super) fn parameters(&self, key: &[u8]) -> Option<Bytes> {
        self.memory().parameters.get(key).cloned()
    }

    pub(super) fn learn_parameters(&self, key: &[u8], parameters: Bytes) {
        self.memory().parameters.insert(key.to_owned(), parameters);
    }

    pub(super) fn greeting(&self) -> Option<Vec<u8>> {
        self.memory().greeting.clone()
    }

    pub(super) fn learn_greeting(&self, greeting: Vec<u8>) {
        self.memory().greeting = Some(greeting);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_PINS: usize = 1_000;
