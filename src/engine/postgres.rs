//! PostgreSQL in sqlx's terms.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Executor, Postgres};
use url::Url;

use crate::engine::{Address, Engine, Tls, sealed};
use crate::login::Login;

impl Engine for Postgres {}

impl sealed::Engine for Postgres {
    const SYSTEM: &'static str = "postgresql";
    const VERIFIED_TLS: &'static str = "sslmode=verify-full";
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const PARAMETERS: &'static [&'static str] = &[
        "sslmode",
        "ssl-mode",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
        "options[",
    ];
    const PASSWORD_VARIABLE: &'static str = "PGPASSWORD";
    const USERNAME_VARIABLE: &'static str = "PGUSER";
    const DRAINS_AFTER_ONE_ROW: bool = true;

    fn options_from_url(url: &Url) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_url(url)
    }

    fn options_from_env() -> Option<PgConnectOptions> {
        // With a password file, as libpq: an IAM login takes nothing from it.
        Some(PgConnectOptions::new())
    }

    fn address(options: &PgConnectOptions) -> Address<'_> {
        Address {
            host: options.get_host(),
            port: options.get_port(),
            // A host that is a path means the socket in that directory, as in libpq.
            socket: options.get_socket().is_some() || options.get_host().starts_with('/'),
        }
    }

    fn username(options: &PgConnectOptions) -> &str {
        options.get_username()
    }

    fn tls(options: &PgConnectOptions) -> Tls {
        match options.get_ssl_mode() {
            PgSslMode::Prefer => Tls::Default,
            PgSslMode::VerifyFull => Tls::Verified,
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Require | PgSslMode::VerifyCa => {
                Tls::Unverified
            }
        }
    }

    fn tls_mode(options: &PgConnectOptions) -> String {
        format!("{:?}", options.get_ssl_mode())
    }

    fn verify_tls(options: PgConnectOptions) -> PgConnectOptions {
        options.ssl_mode(PgSslMode::VerifyFull)
    }

    fn trust(options: PgConnectOptions, roots: Vec<u8>) -> PgConnectOptions {
        options.ssl_root_cert_from_pem(roots)
    }

    fn send_in_clear(options: PgConnectOptions) -> PgConnectOptions {
        // sqlx sends the password in whatever form a PostgreSQL server asks for.
        options
    }

    fn authorize(options: &PgConnectOptions, login: &Login) -> PgConnectOptions {
        options
            .clone()
            .username(login.username())
            .password(login.password().expose())
    }

    async fn cleanse(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // A lone ROLLBACK makes the server warn where no transaction is open, which is the rule.
        // In a transaction that has failed, BEGIN is an error, and the connection is let go.
        connection.execute("BEGIN; ROLLBACK").await.map(drop)
    }

    fn shell_options(port: u16, username: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(username)
            .password("")
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0)
            .application_name("")
            .extra_float_digits(None)
    }

    fn shell_handshake() -> [Vec<u8>; 2] {
        let authentication_ok = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
        [
            Vec::new(),
            [&authentication_ok[..], &READY_FOR_QUERY].concat(),
        ]
    }

    fn shell_pong() -> Vec<u8> {
        READY_FOR_QUERY.to_vec()
    }
}

/// "Idle, no transaction": the answer to a Sync, which is sqlx's ping.
const READY_FOR_QUERY: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];
