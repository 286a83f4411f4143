//! A real PostgreSQL server.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::{env, io};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::account::Account;
use super::command_line::CommandLine;
use super::daemon::Daemon;
use super::fetch::{Fetched, default_cache};
use super::find::PostgresPrograms;
use super::guard::Guard;
use super::iam_users::{CountGrants, IamUsers};
use super::options::PostgresOptions;
use super::random_password;
use crate::gateway::Upstream;
use crate::{Engine, Error};

mod configuration;

/// A PostgreSQL server of our own, in a temporary directory, reachable over a Unix socket only.
///
/// | role | how it logs in | what it is |
/// |---|---|---|
/// | `postgres` | [`admin_options`](Self::admin_options) | the superuser |
/// | `rds_iam` | not at all | who is granted it logs in with IAM tokens, as on RDS |
/// | `rds_password` | not at all | who is granted it logs in with a password, though it be granted `rds_iam` |
/// | `app` | IAM token | owner of the database `orders`; may create others, as `#[sqlx::test]` does |
/// | `admin` | IAM token | what Aurora DSQL calls its first user |
/// | `report` | [`report_password`](Self::report_password) | an ordinary user |
///
/// The server lets members of `rds_iam` in without a password, since the gateway has checked
/// their token by then. What keeps others out is the socket's directory, closed to all but the
/// server's own user.
///
/// Dropping the value stops the server and removes its data; so does the end of this process,
/// whatever its cause.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon<PgConnection>,
    iam_users: IamUsers,
    socket: PathBuf,
    admin_password: String,
    report_password: String,
}

impl Postgres {
    /// Makes a server as usual, and starts it.
    ///
    /// # Errors
    ///
    /// As for [`start_with`](Self::start_with).
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(PostgresOptions::default()).await
    }

    /// The one server that all of a program's tests can share, started at the first call.
    ///
    /// # Errors
    ///
    /// As for [`start_with`](Self::start_with); the next call tries again.
    pub async fn shared() -> Result<Arc<Self>, Error> {
        static SHARED: OnceCell<Arc<Postgres>> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async { Self::start().await.map(Arc::new) })
            .await
            .cloned()
    }

    /// Makes a server to your liking, and starts it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if no PostgreSQL is installed and none could be fetched, and
    /// [`Error::Server`] if it does not come up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes what was made by then.
    pub async fn start_with(options: PostgresOptions) -> Result<Self, Error> {
        let account = Account::for_servers();
        // A crash's signal rather than a stop's: the data is about to be removed anyway.
        let guard = Guard::new(account, 0o700, "QUIT").map_err(Error::io("start a guard"))?;
        let home = guard.home().to_owned();
        let bin = find_programs(options.clone(), account, home.clone()).await?;

        let port = options.listen.map_or(5432, |address| address.port());
        let admin_password = random_password();
        let admin = PgConnectOptions::new_without_pgpass()
            .socket(&home)
            .port(port)
            .username("postgres")
            .password(&admin_password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
            .application_name("rds-sandbox");
        let server = Self {
            iam_users: IamUsers::new::<PgConnection>(admin.clone(), IAM_GRANTS)
                .map_err(Error::io("start a thread"))?,
            daemon: Daemon {
                engine: Engine::Postgres,
                command: CommandLine::with_environment(&options.environment, bin.join("postgres"))
                    .args(["-D", "data"]),
                stop_signal: "INT",
                admin,
                guard,
            },
            socket: home.join(format!(".s.PGSQL.{port}")),
            admin_password,
            report_password: random_password(),
        };
        server.initialise(&bin, &options).await?;
        let mut connection = server.daemon.start().await?;
        server.create_roles(&mut connection).await?;
        Ok(server)
    }

    /// Stops the server; its sessions end with 57P01. Its data stays. Fine if it is stopped.
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

    /// Ends the server's first process by SIGKILL and waits until the others have followed.
    /// Sessions break without a word. [`start_again`](Self::start_again) then recovers the data.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if one of its processes lives on.
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

    /// Creates a database that belongs to `app`.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], for example if the database is there already.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let mut connection = self.daemon.admin.connect().await?;
        let name = name.replace('"', "\"\"");
        let sql = format!("CREATE DATABASE \"{name}\" OWNER app");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// Makes the server refuse writes with `25006`, or take them again, for sessions that are open
    /// as well.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn set_read_only(&self, read_only: bool) -> Result<(), Error> {
        let mut connection = self.daemon.admin.connect().await?;
        let wanted = if read_only { "on" } else { "off" };
        let alter = format!("ALTER SYSTEM SET default_transaction_read_only = {wanted}");
        let writable = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE";
        for sql in [writable, &alter, "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        // The server reloads in its own time.
        loop {
            let mut connection = self.daemon.admin.connect().await?;
            let is: String = sqlx::query_scalar("SHOW default_transaction_read_only")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            if is == wanted {
                return Ok(());
            }
        }
    }

    /// How to connect as the superuser, past every gateway.
    pub fn admin_options(&self) -> PgConnectOptions {
        self.daemon.admin.clone()
    }

    /// The same as a URL, for sqlx and for libpq.
    pub fn admin_url(&self) -> String {
        let (home, port) = (
            self.daemon.guard.home().display(),
            self.daemon.admin.get_port(),
        );
        let password = &self.admin_password;
        format!("postgres://postgres:{password}@localhost:{port}/postgres?host={home}")
    }

    /// Creates a user with all rights on a database, or gives it a new password.
    pub(crate) async fn put_user(
        &self,
        username: &str,
        password: &str,
        database: &str,
    ) -> Result<(), Error> {
        let sql = format!(
            "DO $$ BEGIN
               IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{username}') THEN
                 CREATE ROLE \"{username}\" LOGIN;
               END IF;
             END $$;
             ALTER ROLE \"{username}\" PASSWORD '{password}';
             GRANT CREATE ON SCHEMA public TO \"{username}\""
        );
        // The statement holds a password.
        let admin = self.daemon.admin.clone().database(database);
        let mut connection = admin.disable_statement_logging().connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// Creates a user with a password who becomes `app` as soon as it is logged in.
    pub(crate) async fn put_owner(&self, username: &str, password: &str) -> Result<(), Error> {
        let sql = format!(
            "CREATE ROLE \"{username}\" LOGIN PASSWORD '{password}' IN ROLE app, rds_password;
             ALTER ROLE \"{username}\" SET role = 'app'"
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

    async fn create_roles(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let password = &self.report_password;
        let roles = format!(
            "CREATE ROLE rds_iam NOLOGIN;
             CREATE ROLE rds_password NOLOGIN;
             CREATE ROLE app LOGIN CREATEDB IN ROLE rds_iam;
             CREATE ROLE admin LOGIN CREATEDB IN ROLE rds_iam;
             CREATE ROLE report LOGIN PASSWORD '{password}'"
        );
        sqlx::raw_sql(AssertSqlSafe(roles))
            .execute(&mut *connection)
            .await?;
        // Not together with the roles: PostgreSQL creates no database within a transaction, which
        // several statements sent at once are.
        sqlx::raw_sql("CREATE DATABASE orders OWNER app")
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Upstream for Postgres {
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

impl CountGrants for PgConnection {
    async fn count(&mut self, sql: &'static str, username: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(sql).bind(username).fetch_one(self).await
    }
}

/// The directory with the programs: found, or else fetched. Both block.
async fn find_programs(
    options: PostgresOptions,
    account: Account,
    home: PathBuf,
) -> Result<PathBuf, Error> {
    let search = move || {
        let wanted = options.bin.or_else(|| env::var_os("SANDBOX_PG_BIN"));
        if let Some(found) = PostgresPrograms::find(wanted, account)? {
            return Ok(found.bin);
        }
        let cache = options.cache.unwrap_or_else(default_cache);
        Fetched::postgres(&cache)
            .and_then(|fetched| fetched.place(account, &home))
            .map_err(|reason| Error::NotFound {
                engine: Engine::Postgres,
                reason,
            })
    };
    spawn_blocking(search)
        .await
        .map_err(io::Error::from)
        .map_err(Error::io("search"))?
}

/// A superuser counts as a member of every role, but not for `pg_hba.conf`. The cast cuts a name
/// that is too long just where a login cuts it.
const IAM_GRANTS: &str = "SELECT count(*) FROM pg_roles
    WHERE rolname = $1::text::name AND NOT rolsuper AND pg_has_role(oid, 'rds_iam', 'member')
    AND NOT pg_has_role(oid, 'rds_password', 'member')";
