//! PostgreSQL in sqlx's terms.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Postgres, Row, raw_sql};
use url::Url;

use crate::classify;
use crate::endpoint::Endpoint;
use crate::engine::{Address, Engine, StubAddress, Tls, in_one_line, sealed};
use crate::kind::ErrorKind;
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
    const HOST_VARIABLE: &'static str = "PGHOST";
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

    /// What sqlx needs travels in startup parameters that RDS Proxy knows.
    const INIT_QUERY: &'static str = "";

    fn leave_to_init_query(options: PgConnectOptions) -> PgConnectOptions {
        options
    }

    fn has_startup_options(options: &PgConnectOptions) -> bool {
        options
            .get_options()
            .is_some_and(|options| !options.is_empty())
    }

    fn without_startup_parameters(options: PgConnectOptions) -> PgConnectOptions {
        options.extra_float_digits(None)
    }

    fn without_statements(options: PgConnectOptions) -> PgConnectOptions {
        options.statement_cache_capacity(0)
    }

    /// Only sqlx's: others may count on theirs, PgBouncer's own (`PGBOUNCER_1`) among them.
    const FORGET_STATEMENTS: &'static str = "BEGIN; DO $$ DECLARE s text; BEGIN \
         FOR s IN SELECT name FROM pg_prepared_statements WHERE name LIKE 'sqlx\\_s\\_%' \
         LOOP EXECUTE format('DEALLOCATE %I', s); END LOOP; END $$; COMMIT";

    fn authorize(options: &PgConnectOptions, login: &Login) -> PgConnectOptions {
        options
            .clone()
            .username(login.username())
            .password(login.password().expose())
    }

    fn dial(options: PgConnectOptions, endpoint: &Endpoint) -> PgConnectOptions {
        options.host(endpoint.host()).port(endpoint.port())
    }

    fn database_of(options: &PgConnectOptions) -> Option<&str> {
        options.get_database()
    }

    fn database(options: PgConnectOptions, name: &str) -> PgConnectOptions {
        options.database(name)
    }

    async fn is_writer(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let asked = "SELECT NOT pg_is_in_recovery() \
                     AND current_setting('transaction_read_only') = 'off'";
        connection.fetch_one(raw_sql(asked)).await?.try_get(0)
    }

    async fn keeps_statements(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        // The statement that asks is among those that it sees.
        let asked = "SELECT EXISTS (SELECT FROM pg_prepared_statements \
                     WHERE name LIKE 'PGBOUNCER\\_%')";
        match sqlx::query_scalar(asked).fetch_one(connection).await {
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("26000" | "42P05")) =>
            {
                Ok(false)
            }
            answer => answer,
        }
    }

    async fn limit_idle(
        connection: &mut PgConnection,
        timeout: Duration,
    ) -> Result<(), sqlx::Error> {
        let milliseconds = timeout.as_millis();
        let set = AssertSqlSafe(format!("SET idle_session_timeout = {milliseconds}"));
        connection.execute(raw_sql(set)).await.map(drop)
    }

    async fn cleanse(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // A lone ROLLBACK makes the server warn where no transaction is open, which is the rule.
        // In a transaction that has failed, BEGIN is an error, and the connection is let go.
        connection.execute("BEGIN; ROLLBACK").await.map(drop)
    }

    const STUB_SOCKET: &'static str = ".s.PGSQL.5432";

    fn stub_options(address: StubAddress<'_>, username: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .username(username)
            .password("")
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0)
            .application_name("")
            .extra_float_digits(None);
        match address {
            StubAddress::Port(port) => options.port(port),
            // The port is part of the socket's name.
            StubAddress::Directory(directory) => options.port(5432).socket(directory),
        }
    }

    fn stub_handshake() -> [Vec<u8>; 2] {
        let authentication_ok = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
        [
            Vec::new(),
            [&authentication_ok[..], &READY_FOR_QUERY].concat(),
        ]
    }

    fn stub_refusal(error: &sqlx::Error) -> Vec<u8> {
        let from_server = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let kind = ErrorKind::of(error);
        match from_server {
            Some(error) => relay(error, kind),
            None => {
                let (routine, _) = classify::relayed_as(kind);
                error_response(&[
                    (b'S', Some("FATAL")),
                    (b'C', Some(relayed_code(kind))),
                    (b'M', Some(&in_one_line(error))),
                    (b'R', Some(routine)),
                ])
            }
        }
    }

    fn stub_pong() -> Vec<u8> {
        READY_FOR_QUERY.to_vec()
    }
}

/// A server's error, word for word.
fn relay(error: &PgDatabaseError, kind: ErrorKind) -> Vec<u8> {
    let line = error.line().map(|line| line.to_string());
    let (code, detail, routine) = match error.code() {
        // sqlx's pool would wait and try again, and then tell of a timeout only. The connector has
        // tried until its deadline: this is what it ended with.
        "53300" | "57P03" => {
            let detail = format!("The server's own code was {}.", error.code());
            let (routine, _) = classify::relayed_as(kind);
            (relayed_code(kind), Some(detail), Some(routine))
        }
        code => (code, error.detail().map(str::to_owned), error.routine()),
    };
    error_response(&[
        (b'S', Some(severity(error.severity()))),
        (b'C', Some(code)),
        (b'M', Some(error.message())),
        (b'D', detail.as_deref()),
        (b'H', error.hint()),
        (b'W', error.r#where()),
        (b's', error.schema()),
        (b't', error.table()),
        (b'c', error.column()),
        (b'd', error.data_type()),
        (b'n', error.constraint()),
        (b'F', error.file()),
        (b'L', line.as_deref()),
        (b'R', routine),
    ])
}

/// An ErrorResponse. sqlx wants the severity first.
fn error_response(fields: &[(u8, Option<&str>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (letter, text) in fields {
        if let Some(text) = text {
            body.push(*letter);
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = vec![b'E'];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&body);
    message
}

fn severity(severity: PgSeverity) -> &'static str {
    match severity {
        PgSeverity::Panic => "PANIC",
        PgSeverity::Fatal => "FATAL",
        _ => "ERROR",
    }
}

/// An SQLSTATE that sqlx's pool does not take for a reason to try again.
fn relayed_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Full | ErrorKind::Throttled => "53000",
        ErrorKind::Unavailable => "08001",
        _ => "08006",
    }
}

/// "Idle, no transaction": the answer to a Sync, which is sqlx's ping.
const READY_FOR_QUERY: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];
