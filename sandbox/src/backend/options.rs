//! How a server of our own may differ from the usual one.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings for a [`Postgres`](super::Postgres) of your own.
///
/// ```
/// use sqlx_rds_sandbox::backend::PostgresOptions;
///
/// let options = PostgresOptions::default().setting("work_mem", "1MB").setting("log_statement", "all");
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PostgresOptions {
    pub(super) bin: Option<OsString>,
    pub(super) cache: Option<PathBuf>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) hba: Option<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) listen: Option<SocketAddr>,
}

impl PostgresOptions {
    /// The directory that holds `initdb` and `postgres`, or the word `embedded` for a fetched
    /// PostgreSQL. Default: the environment variable `SANDBOX_PG_BIN`, which takes the same
    /// values, and without it whatever is found.
    pub fn bin(mut self, bin: impl Into<OsString>) -> Self {
        self.bin = Some(bin.into());
        self
    }

    /// Where a fetched PostgreSQL is kept. Default: `target/sandbox`.
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// A parameter of `postgresql.conf`. It wins over the sandbox's own and over earlier ones.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The whole of `pg_hba.conf`. It must let `postgres` in over the Unix socket, with or
    /// without its password. Default: that, `rds_iam` trusted, and passwords for all others.
    pub fn hba(mut self, lines: impl Into<String>) -> Self {
        self.hba = Some(lines.into());
        self
    }

    /// An environment variable for the server, on top of those it inherits.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A TCP address, with a port other than 0, to listen on besides the Unix socket. The default
    /// `pg_hba.conf` lets nobody in that way. Default: none.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }
}

/// Settings for a [`MariaDb`](super::MariaDb) of your own.
///
/// ```
/// use sqlx_rds_sandbox::backend::MariaDbOptions;
///
/// let options = MariaDbOptions::default().argument("--max-connections=10");
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct MariaDbOptions {
    pub(super) bin: Option<OsString>,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) listen: Option<SocketAddr>,
}

impl MariaDbOptions {
    /// The server's program, `mariadbd` or `mysqld`. Default: the environment variable
    /// `SANDBOX_MYSQL_BIN`, and without it whatever is found.
    pub fn bin(mut self, program: impl Into<OsString>) -> Self {
        self.bin = Some(program.into());
        self
    }

    /// An argument for the server. It wins over the sandbox's own and over earlier ones.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// An environment variable for the server, on top of those it inherits.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A TCP address, with a port other than 0, to listen on besides the Unix socket. Mind that
    /// `app` has no password. Default: none.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }
}

/// Settings for a [`PgBouncer`](super::PgBouncer).
///
/// ```
/// use sqlx_rds_sandbox::backend::PgBouncerOptions;
///
/// let options = PgBouncerOptions::default().setting("default_pool_size", "2");
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PgBouncerOptions {
    pub(super) program: Option<OsString>,
    pub(super) settings: Vec<(String, String)>,
}

impl PgBouncerOptions {
    /// The program `pgbouncer`. Default: the environment variable `SANDBOX_PGBOUNCER_BIN`, and
    /// without it whatever is found.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// A setting of `pgbouncer.ini`. It wins over the sandbox's own and over earlier ones.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
}
