//! PostgreSQL and MariaDB that check tokens by PAM, with their own code.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;

use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, MySql, Postgres};
use sqlx_rds::Engine;
use sqlx_rds_sandbox::backend::{self, MariaDbOptions, PostgresOptions};
use tokio::sync::OnceCell;

use crate::equipment::{Equipment, PACKAGES, SERVICE, address};

/// What these tests ask of an engine beyond the crate's own trait.
pub(crate) trait PamEngine: Engine {
    const SCHEME: &'static str;
    const PORT: u16;
    /// The parameter of a URL that asks for TLS and the server's name in its certificate.
    const VERIFIED: &'static str;
    /// The parameter of a URL that asks for no TLS.
    const UNENCRYPTED: &'static str;

    /// Creates a user who logs in by PAM, on a server that is started at the first call.
    fn create_user(name: &str) -> impl Future<Output = ()> + Send;

    /// Whether this is what the server itself says of a login that PAM refused.
    fn is_refusal(error: &sqlx::Error, username: &str) -> bool;

    /// The user and the TLS version that the server sees.
    fn session(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(String, String), sqlx::Error>> + Send;
}

impl PamEngine for Postgres {
    const SCHEME: &'static str = "postgres";
    const PORT: u16 = 5432;
    const VERIFIED: &'static str = "sslmode=verify-full";
    const UNENCRYPTED: &'static str = "sslmode=disable";

    async fn create_user(name: &str) {
        let sql = format!("CREATE ROLE {name} LOGIN IN ROLE rds_iam");
        let mut admin = postgres().await.admin_options().connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
    }

    fn is_refusal(error: &sqlx::Error, username: &str) -> bool {
        let error = error.as_database_error();
        error.is_some_and(|error| {
            let error: &PgDatabaseError = error.downcast_ref();
            error.code() == "28000"
                && error.routine() == Some("auth_failed")
                && error.message() == format!("PAM authentication failed for user \"{username}\"")
        })
    }

    async fn session(connection: &mut Self::Connection) -> Result<(String, String), sqlx::Error> {
        sqlx::query_as(
            "SELECT current_user::text, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )
        .fetch_one(connection)
        .await
    }
}

impl PamEngine for MySql {
    const SCHEME: &'static str = "mysql";
    const PORT: u16 = 3306;
    const VERIFIED: &'static str = "ssl-mode=VERIFY_IDENTITY";
    const UNENCRYPTED: &'static str = "ssl-mode=DISABLED";

    async fn create_user(name: &str) {
        let sql = format!(
            "CREATE USER {name}@'%' IDENTIFIED VIA pam USING '{SERVICE}' REQUIRE SSL;
             GRANT SELECT ON orders.* TO {name}@'%'"
        );
        let mut admin = mariadb().await.admin_options().connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
    }

    fn is_refusal(error: &sqlx::Error, username: &str) -> bool {
        let error = error.as_database_error();
        error.is_some_and(|error| {
            let error: &MySqlDatabaseError = error.downcast_ref();
            error.number() == 1045 && error.message().contains(username)
        })
    }

    async fn session(connection: &mut Self::Connection) -> Result<(String, String), sqlx::Error> {
        sqlx::query_as(
            "SELECT SUBSTRING_INDEX(USER(), '@', 1), VARIABLE_VALUE
             FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'",
        )
        .fetch_one(connection)
        .await
    }
}

/// How often PostgreSQL's `pg_hba.conf` has turned `username` away, by the server's own log.
pub(crate) async fn rejections(username: &str) -> usize {
    let mut admin = postgres().await.admin_options().connect().await.unwrap();
    let log: String = sqlx::query_scalar("SELECT pg_read_file('../log')")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    log.lines()
        .filter(|line| line.contains("pg_hba.conf rejects connection"))
        .filter(|line| line.contains(&format!("user \"{username}\"")))
        .count()
}

async fn postgres() -> &'static backend::Postgres {
    static SERVER: OnceCell<backend::Postgres> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let equipment = Equipment::get();
            let mut options = PostgresOptions::default()
                .setting("ssl", "on")
                .setting("ssl_cert_file", equipment.certificate())
                .setting("ssl_key_file", equipment.key())
                .hba(hba())
                .listen(SocketAddr::from((address(), Postgres::PORT)));
            for (name, value) in equipment.environment() {
                options = options.env(name, value);
            }
            let started = backend::Postgres::start_with(options).await;
            started.unwrap_or_else(|error| panic!("{error}\n{PACKAGES}"))
        })
        .await
}

/// As on RDS: members of `rds_iam` by token and over TLS, or not at all.
fn hba() -> String {
    let mut lines = String::from("local all postgres scram-sha-256\n");
    let _ = writeln!(lines, "hostssl all +rds_iam all pam pamservice={SERVICE}");
    let _ = writeln!(lines, "hostnossl all +rds_iam all reject");
    lines
}

async fn mariadb() -> &'static backend::MariaDb {
    static SERVER: OnceCell<backend::MariaDb> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let equipment = Equipment::get();
            let mut options = MariaDbOptions::default()
                .argument(format!("--ssl-cert={}", equipment.certificate()))
                .argument(format!("--ssl-key={}", equipment.key()))
                // The first version of the plugin: the second asks a program that needs root.
                .argument("--plugin-load-add=auth_pam_v1")
                .argument("--pam-use-cleartext-plugin=ON")
                .listen(SocketAddr::from((address(), MySql::PORT)));
            for (name, value) in equipment.environment() {
                options = options.env(name, value);
            }
            let started = backend::MariaDb::start_with(options).await;
            let server = started.unwrap_or_else(|error| panic!("{error}\n{PACKAGES}"));
            // The sandbox's own user has no password, and here no gateway stands before the server.
            let mut admin = server.admin_options().connect().await.unwrap();
            let dropped = sqlx::raw_sql("DROP USER app@'%'").execute(&mut admin).await;
            dropped.unwrap();
            admin.close().await.unwrap();
            server
        })
        .await
}
