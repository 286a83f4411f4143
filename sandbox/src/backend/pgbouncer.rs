//! A real PgBouncer, before a PostgreSQL server.

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::account::Account;
use super::command_line::CommandLine;
use super::daemon::Daemon;
use super::find;
use super::guard::Guard;
use super::options::PgBouncerOptions;
use super::postgres::Postgres;
use crate::gateway::Upstream;
use crate::{Engine, Error};

/// A PgBouncer of our own in transaction mode, before a [`Postgres`], reachable over a Unix socket
/// only.
///
/// It lets `app` in without a password, as the server behind it does. What keeps others out is the
/// socket's directory, closed to all but PgBouncer's own user. Dropping the value stops it, and so
/// does the end of this process, whatever its cause.
#[derive(Debug)]
pub struct PgBouncer {
    daemon: Daemon<PgConnection>,
    /// Lives as long as what stands before it.
    _server: Arc<Postgres>,
}

impl PgBouncer {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if none is installed, and [`Error::Server`] if it does not come up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes what was made by then.
    pub async fn start(server: Arc<Postgres>, options: PgBouncerOptions) -> Result<Self, Error> {
        let account = Account::for_servers();
        let wanted = options.program.clone();
        let wanted = wanted.or_else(|| env::var_os("SANDBOX_PGBOUNCER_BIN"));
        let program = find::pgbouncer(wanted, account)?;
        let guard = Guard::new(account, 0o700, "TERM").map_err(Error::io("start a guard"))?;
        let write = |name, text: &str| {
            guard
                .write(name, text)
                .map_err(Error::io("configure PgBouncer"))
        };
        write("users", USERS)?;
        let socket = server.socket();
        let behind = socket.parent().unwrap_or(&socket);
        write(
            "pgbouncer.ini",
            &configuration(guard.home(), behind, &options),
        )?;
        let this = Self {
            daemon: Daemon {
                engine: Engine::Postgres,
                command: CommandLine::new(program).arg("pgbouncer.ini"),
                stop_signal: "INT",
                admin: options_for(guard.home(), "admin", "pgbouncer"),
                guard,
            },
            _server: server,
        };
        drop(this.daemon.start().await?);
        Ok(this)
    }

    /// How `app` connects to a database through it.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        options_for(self.daemon.guard.home(), "app", database)
    }

    /// Major and minor version, as in 1.18.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn version(&self) -> Result<(u32, u32), Error> {
        let row = self.ask("SHOW VERSION").await?.pop();
        let text: String = row.map_or(Err(sqlx::Error::RowNotFound), |row| row.try_get(0))?;
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok());
        Ok((
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        ))
    }

    /// How many connections to the server it has.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn server_connections(&self) -> Result<usize, Error> {
        Ok(self.ask("SHOW SERVERS").await?.len())
    }

    async fn ask(&self, console_command: &'static str) -> Result<Vec<PgRow>, Error> {
        let mut console = self.daemon.admin.connect().await?;
        // Its console knows the simple protocol only.
        let rows = sqlx::raw_sql(console_command)
            .fetch_all(&mut console)
            .await?;
        console.close().await?;
        Ok(rows)
    }

    /// Stops it, removes its files, and waits until both are gone. Dropping does the same without
    /// the wait.
    pub async fn end(&self) {
        self.daemon.guard.end().await;
    }
}

/// `extra_float_digits` is a startup parameter that PgBouncer refuses as it comes.
fn options_for(home: &Path, username: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(home)
        .port(PORT)
        .username(username)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .extra_float_digits(None)
}

fn configuration(home: &Path, behind: &Path, options: &PgBouncerOptions) -> String {
    let mut text = format!(
        "[databases]\n* = host={} port=5432\n[pgbouncer]\n",
        behind.display()
    );
    let home = home.display().to_string();
    let port = PORT.to_string();
    let ours = [
        ("unix_socket_dir", home.as_str()),
        ("listen_port", &port),
        ("auth_type", "trust"),
        ("auth_file", "users"),
        ("admin_users", "admin"),
        ("pool_mode", "transaction"),
    ];
    let theirs = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in ours.into_iter().chain(theirs) {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

/// Part of the socket's name.
const PORT: u16 = 6432;

const USERS: &str = "\"app\" \"\"\n\"admin\" \"\"\n";
