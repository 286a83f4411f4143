//! A real MariaDB or MySQL server.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, MySqlConnection};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::account::Account;
use super::daemon::Daemon;
use super::find::MySqlPrograms;
use super::guard::Guard;
use super::iam_users::{CountGrants, IamUsers};
use super::options::MariaDbOptions;
use super::random_password;
use crate::gateway::Upstream;
use crate::{Engine, Error};

mod commands;

use commands::{install_command, server_command};

/// A MariaDB or MySQL server of our own, in a temporary directory, reachable over a Unix socket
/// only.
///
/// | user or role | how it logs in | what it is |
/// |---|---|---|
/// | `root` | [`admin_options`](Self::admin_options) | the administrator |
/// | `rds_iam` | not at all | who is granted it logs in with IAM tokens |
/// | `app` | IAM token | has all rights on the database `orders` |
/// | `report` | [`report_password`](Self::report_password) | an ordinary user who may read `orders` |
///
/// RDS marks IAM users by an authentication plugin that only AWS has; the role stands in for it,
/// as on PostgreSQL. IAM users need an empty password here, since the gateway has checked their
/// token by then. What keeps others out is the socket's directory, closed to all but the server's
/// own user.
///
/// Dropping the value stops the server and removes its data; so does the end of this process,
/// whatever its cause.
#[derive(Debug)]
pub struct MariaDb {
    daemon: Daemon<MySqlConnection>,
    iam_users: IamUsers,
    socket: PathBuf,
    admin_password: String,
    report_password: String,
}

impl MariaDb {
    /// Makes a server as usual, and starts it.
    ///
    /// # Errors
    ///
    /// As for [`start_with`](Self::start_with).
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(MariaDbOptions::default()).await
    }

    /// The one server that all of a program's tests can share, started at the first call.
    ///
    /// # Errors
    ///
    /// As for [`start_with`](Self::start_with); the next call tries again.
    pub async fn shared() -> Result<Arc<Self>, Error> {
        static SHARED: OnceCell<Arc<MariaDb>> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async { Self::start().await.map(Arc::new) })
            .await
            .cloned()
    }

    /// Makes a server to your liking, and starts it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if neither MariaDB nor MySQL is installed, and [`Error::Server`] if it
    /// does not come up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes what was made by then.
    pub async fn start_with(options: MariaDbOptions) -> Result<Self, Error> {
        let account = Account::for_servers();
        let wanted = options
            .bin
            .clone()
            .or_else(|| env::var_os("SANDBOX_MYSQL_BIN"));
        let programs = spawn_blocking(move || MySqlPrograms::find(wanted, account))
            .await
            .map_err(io::Error::from)
            .map_err(Error::io("search"))??;

        let iam_grants = if programs.install.is_some() {
            MARIADB_GRANTS
        } else {
            MYSQL_GRANTS
        };

        // A crash's signal rather than a stop's: the data is about to be removed anyway.
        let guard = Guard::new(account, 0o700, "KILL").map_err(Error::io("start a guard"))?;
        let socket = guard.home().join("mysqld.sock");
        let passwordless = MySqlConnectOptions::new()
            .socket(&socket)
            .username("root")
            .ssl_mode(MySqlSslMode::Disabled);
        let admin_password = random_password();
        let admin = passwordless.clone().password(&admin_password);
        let mut server = Self {
            iam_users: IamUsers::new::<MySqlConnection>(admin.clone(), iam_grants)
                .map_err(Error::io("start a thread"))?,
            daemon: Daemon {
                engine: Engine::MySql,
                command: server_command(&programs, &options, guard.home(), &socket),
                stop_signal: "TERM",
                admin: passwordless,
                guard,
            },
            socket,
            admin_password,
            report_password: random_password(),
        };
        let home = server.daemon.guard.home();
        server
            .daemon
            .prepare(&install_command(&programs, home))
            .await?;
        let mut connection = server.daemon.start().await?;
        server.create_users(&mut connection).await?;
        server.daemon.admin = admin;
        Ok(server)
    }

    /// Stops the server; its sessions end with 1927 or a broken connection. Its data stays. Fine
    /// if it is stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it takes more than a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.daemon.stop().await
    }

    /// Starts the server after a [`stop`](Self::stop) or [`kill`](Self::kill), with the same data
    /// and socket. Fine if it runs.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not come up.
    pub async fn start_again(&self) -> Result<(), Error> {
        self.daemon.start().await.map(drop)
    }

    /// [Stops](Self::stop) the server and [starts it again](Self::start_again).
    ///
    /// # Errors
    ///
    /// As for the two.
    pub async fn restart(&self) -> Result<(), Error> {
        self.stop().await?;
        self.start_again().await
    }

    /// Ends the server by SIGKILL. Sessions break without a word.
    /// [`start_again`](Self::start_again) then recovers the data.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it lives on.
    pub async fn kill(&self) -> Result<(), Error> {
        self.daemon.kill().await
    }

    /// Stops the server, removes its data, and waits until both are gone. Dropping does the same
    /// without the wait.
    pub async fn end(&self) {
        self.daemon.guard.end().await;
    }

    /// The process id of the server, while it runs.
    pub async fn pid(&self) -> Option<u32> {
        self.daemon.guard.pid().await
    }

    /// Creates a database on which `app` has all rights.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], for example if the database is there already.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let mut connection = self.daemon.admin.connect().await?;
        let name = name.replace('`', "``");
        let create = format!("CREATE DATABASE `{name}`");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
        // In the name of a grant, unlike elsewhere, these two are wildcards.
        let pattern = name.replace('_', "\\_").replace('%', "\\%");
        let grant = format!("GRANT ALL ON `{pattern}`.* TO app@'%'");
        sqlx::raw_sql(AssertSqlSafe(grant))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// Makes the server refuse writes with `1290`, or take them again, for sessions that are open
    /// as well. Sessions of `app` whose statements hold that up are killed: one that waits for a row
    /// would, until `innodb_lock_wait_timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn set_read_only(&self, read_only: bool) -> Result<(), Error> {
        let mut connection = self.daemon.admin.connect().await?;
        let set = format!("SET GLOBAL read_only = {}", u8::from(read_only));
        let mut other = self.daemon.admin.connect().await?;
        {
            let set = sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection);
            tokio::pin!(set);
            loop {
                tokio::select! {
                    done = &mut set => break done.map(drop)?,
                    () = tokio::time::sleep(HELD_UP) => {}
                }
                let busy = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
                            WHERE user = 'app' AND command = 'Query'";
                let busy: Vec<i64> = sqlx::query_scalar(busy).fetch_all(&mut other).await?;
                for session in busy {
                    let kill = sqlx::raw_sql(AssertSqlSafe(format!("KILL {session}")));
                    // It may have gone by itself.
                    let _ = kill.execute(&mut other).await;
                }
            }
        }
        other.close().await?;
        connection.close().await?;
        Ok(())
    }

    /// How to connect as the administrator, past every gateway.
    pub fn admin_options(&self) -> MySqlConnectOptions {
        self.daemon.admin.clone()
    }

    /// The same as a URL, for sqlx.
    pub fn admin_url(&self) -> String {
        let (password, socket) = (&self.admin_password, self.socket.display());
        format!("mysql://root:{password}@localhost/mysql?socket={socket}")
    }

    /// Creates a user with all rights on a database, or gives it a new password.
    pub(crate) async fn put_user(
        &self,
        username: &str,
        password: &str,
        database: &str,
    ) -> Result<(), Error> {
        let pattern = database.replace('_', "\\_").replace('%', "\\%");
        let sql = format!(
            "CREATE USER IF NOT EXISTS `{username}`@'%';
             ALTER USER `{username}`@'%' IDENTIFIED BY '{password}';
             GRANT ALL ON `{pattern}`.* TO `{username}`@'%'"
        );
        // The statement holds a password.
        let admin = self.daemon.admin.clone().disable_statement_logging();
        let mut connection = admin.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// Creates a user with a password who has all rights on all databases.
    pub(crate) async fn put_owner(&self, username: &str, password: &str) -> Result<(), Error> {
        // Not `*.*`, which would let it write where others may only read.
        let sql = format!(
            "CREATE USER `{username}`@'%' IDENTIFIED BY '{password}';
             GRANT ALL ON `%`.* TO `{username}`@'%'"
        );
        // The statement holds a password.
        let admin = self.daemon.admin.clone().disable_statement_logging();
        let mut connection = admin.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// The password of the user `report`, who does not log in with IAM tokens.
    pub fn report_password(&self) -> &str {
        &self.report_password
    }

    /// The administrator's password comes last: gateways hand the logins of ordinary users on, so
    /// without one anyone on this machine could be administrator.
    async fn create_users(&self, connection: &mut MySqlConnection) -> Result<(), Error> {
        let (report, root) = (&self.report_password, &self.admin_password);
        let users = format!(
            "CREATE ROLE rds_iam;
             CREATE DATABASE orders CHARACTER SET utf8mb4;
             CREATE USER app@'%';
             GRANT ALL ON orders.* TO app@'%';
             GRANT rds_iam TO app@'%';
             CREATE USER report@'%' IDENTIFIED BY '{report}';
             GRANT SELECT ON orders.* TO report@'%';
             ALTER USER root@localhost IDENTIFIED BY '{root}'"
        );
        sqlx::raw_sql(AssertSqlSafe(users))
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Upstream for MariaDb {
    fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    fn is_iam_user<'a>(
        &'a self,
        username: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send + 'a>> {
        self.iam_users.contains(username)
    }
}

impl CountGrants for MySqlConnection {
    async fn count(&mut self, sql: &'static str, username: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(sql)
            .bind(unquoted(username))
            .fetch_one(self)
            .await
    }
}

/// A user name as a login reads it: without a pair of quotes around it.
fn unquoted(username: &str) -> &str {
    username
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or(username)
}

/// How long a change of the whole server may wait for statements that run.
const HELD_UP: Duration = Duration::from_millis(100);

/// MariaDB grants a new role to its creator as well, who must remain an ordinary user. Names are
/// cut where a login cuts them, at 128 characters here and at 32 in MySQL.
const MARIADB_GRANTS: &str = "SELECT COUNT(*) FROM mysql.roles_mapping
    WHERE Role = 'rds_iam' AND User = LEFT(?, 128) AND User <> 'root'";

const MYSQL_GRANTS: &str = "SELECT COUNT(*) FROM mysql.role_edges
    WHERE FROM_USER = 'rds_iam' AND TO_USER = LEFT(?, 32) AND TO_USER <> 'root'";
