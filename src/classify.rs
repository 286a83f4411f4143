//! Reads off an error what happened and what to do about it. Tables, no I/O.

use std::io;

use sqlx::error::DatabaseError;
#[cfg(feature = "postgres")]
use sqlx::postgres::PgSeverity;

#[cfg(feature = "data-api")]
use crate::data_api_error::{DataApiDatabaseError, DataApiError};
#[cfg(feature = "idempotency")]
use crate::error::IdempotencyError;
use crate::error::{ConfigError, LoginError, LoginsSuspended, NotWriter, Overloaded};
use crate::kind::ErrorKind;

impl ErrorKind {
    /// What happened, as far as the error tells.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_database(error.as_ref()),
            sqlx::Error::Io(error) => of_io(error),
            sqlx::Error::Tls(_) => Self::Tls,
            sqlx::Error::Configuration(error) if error.is::<LoginError>() => Self::Login,
            sqlx::Error::Configuration(_) => Self::Configuration,
            sqlx::Error::PoolTimedOut => Self::PoolTimedOut,
            sqlx::Error::PoolClosed => Self::PoolClosed,
            sqlx::Error::WorkerCrashed => Self::Disconnected,
            sqlx::Error::Protocol(message) => of_protocol(message),
            _ => Self::Statement,
        }
    }
}

fn of_io(error: &io::Error) -> ErrorKind {
    let inner = error.get_ref();
    if inner.is_some_and(|e| e.is::<LoginError>()) {
        return ErrorKind::Login;
    }
    if inner.is_some_and(|e| e.is::<ConfigError>()) {
        return ErrorKind::Configuration;
    }
    if let Some(suspended) = inner.and_then(|e| e.downcast_ref::<LoginsSuspended>()) {
        return suspended.kind;
    }
    if inner.is_some_and(|e| e.is::<NotWriter>()) {
        return ErrorKind::ReadOnly;
    }
    if inner.is_some_and(|e| e.is::<Overloaded>()) {
        return ErrorKind::Overloaded;
    }
    #[cfg(feature = "data-api")]
    if let Some(error) = inner.and_then(|e| e.downcast_ref::<DataApiError>()) {
        return error.kind;
    }
    #[cfg(feature = "idempotency")]
    if let Some(error) = inner.and_then(|e| e.downcast_ref()) {
        return match error {
            IdempotencyError::InProgress => ErrorKind::InProgress,
            IdempotencyError::KeyReused => ErrorKind::KeyReused,
            _ => ErrorKind::Statement,
        };
    }
    match error.kind() {
        // rustls' refusal of a certificate reaches us as invalid data, not as `Error::Tls`.
        io::ErrorKind::InvalidData => ErrorKind::Tls,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => ErrorKind::Disconnected,
        // A client certificate or a socket file that is not there or not ours to read.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
            ErrorKind::Configuration
        }
        // Refused, unreachable, timed out, a name that does not resolve (which std reports
        // without a kind of its own).
        _ => ErrorKind::Unavailable,
    }
}

fn of_protocol(message: &str) -> ErrorKind {
    if message.contains("mysql_cleartext_plugin disabled")
        || message.contains("unknown authentication plugin")
        || message.contains("unsupported authentication method")
    {
        ErrorKind::Rejected
    } else {
        ErrorKind::Protocol
    }
}

fn of_database(error: &dyn DatabaseError) -> ErrorKind {
    mysql_kind(error)
        .or_else(|| postgres_kind(error))
        .or_else(|| data_api_kind(error))
        .unwrap_or(ErrorKind::Statement)
}

#[cfg(feature = "mysql")]
fn mysql_kind(error: &dyn DatabaseError) -> Option<ErrorKind> {
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(of_mysql(error.number(), error.message()))
}

#[cfg(not(feature = "mysql"))]
fn mysql_kind(_: &dyn DatabaseError) -> Option<ErrorKind> {
    None
}

#[cfg(feature = "postgres")]
fn postgres_kind(error: &dyn DatabaseError) -> Option<ErrorKind> {
    let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    let ends = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    Some(of_postgres(
        error.code(),
        error.routine(),
        error.message(),
        ends,
    ))
}

#[cfg(not(feature = "postgres"))]
fn postgres_kind(_: &dyn DatabaseError) -> Option<ErrorKind> {
    None
}

#[cfg(feature = "data-api")]
fn data_api_kind(error: &dyn DatabaseError) -> Option<ErrorKind> {
    let error = error.try_downcast_ref::<DataApiDatabaseError>()?;
    Some(match (error.number(), error.code()) {
        (Some(number), _) => of_mysql(number, error.message()),
        (None, Some(code)) => of_postgres(&code, None, error.message(), false),
        (None, None) => ErrorKind::Statement,
    })
}

#[cfg(not(feature = "data-api"))]
fn data_api_kind(_: &dyn DatabaseError) -> Option<ErrorKind> {
    None
}

/// How an error that no server gave is told in the form of a server's (`engine`): by the routine
/// that raised it in PostgreSQL, and in MySQL by the number of a client's error, which no server
/// sends.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "data-api", test))]
const RELAYED: &[(ErrorKind, &str, u16)] = &[
    // Always a server's, and told in its own form in MySQL.
    (ErrorKind::Full, "sqlx_rds::full", 1040),
    (ErrorKind::Throttled, "sqlx_rds::throttled", 1040),
    (ErrorKind::Unavailable, "sqlx_rds::unavailable", 2003),
    (ErrorKind::Disconnected, "sqlx_rds::disconnected", 2013),
    (ErrorKind::Tls, "sqlx_rds::tls", 2026),
    (ErrorKind::Protocol, "sqlx_rds::protocol", 2027),
    (ErrorKind::Configuration, "sqlx_rds::configuration", 2034),
    (ErrorKind::Login, "sqlx_rds::login", 2061),
];

/// The routine and the number that stand for a kind.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn relayed_as(kind: ErrorKind) -> (&'static str, u16) {
    RELAYED
        .iter()
        .find(|(relayed, ..)| *relayed == kind)
        .map_or(("sqlx_rds::other", 2000), |(_, routine, number)| {
            (routine, *number)
        })
}

/// PostgreSQL, Aurora PostgreSQL and Aurora DSQL, by SQLSTATE; `ends` is whether the error ends the
/// session.
#[cfg(any(feature = "postgres", feature = "data-api", test))]
pub(crate) fn of_postgres(
    code: &str,
    routine: Option<&str>,
    message: &str,
    ends: bool,
) -> ErrorKind {
    let relayed = RELAYED
        .iter()
        .find(|(_, relayed, _)| routine == Some(*relayed));
    if let Some((kind, ..)) = relayed {
        return *kind;
    }
    // A statement of the user's own may raise any text: only the codes of logins and connections
    // are read further.
    let of_a_login = ["08", "28", "53", "XX"]
        .iter()
        .any(|class| code.starts_with(class));
    if of_a_login && let Some(kind) = of_proxy(message) {
        return kind;
    }
    match code {
        "28P01" => ErrorKind::Refused,
        // PAM, by which RDS checks tokens, keeps PostgreSQL's default code; the routine tells it
        // from a rejecting pg_hba line, and a proxy that sends no routine is told by its text.
        "28000" if routine == Some("auth_failed") => ErrorKind::Refused,
        "28000" if message.contains("authentication failed") => ErrorKind::Refused,
        "28000" => ErrorKind::Rejected,
        "53300" => ErrorKind::Full,
        "53400" => ErrorKind::Throttled,
        // A statement passes on what another server said, by `postgres_fdw` or `dblink`.
        "57P01" | "57P02" | "57P03" | "57P05" if !ends => ErrorKind::Statement,
        "57P01" | "57P02" | "57P05" => ErrorKind::Disconnected,
        "57P03" => ErrorKind::Unavailable,
        "25006" => ErrorKind::ReadOnly,
        "40001" | "40P01" | "OC000" | "OC001" => ErrorKind::Conflict,
        "08P01" => ErrorKind::Protocol,
        _ if code.starts_with("08") && ends => ErrorKind::Disconnected,
        _ => ErrorKind::Statement,
    }
}

/// MySQL and MariaDB, by error number: their SQLSTATEs lump too much together (1040 is `08004`).
#[cfg(any(feature = "mysql", feature = "data-api", test))]
pub(crate) fn of_mysql(number: u16, message: &str) -> ErrorKind {
    let of_a_login = matches!(number, 1040 | 1045 | 1105 | 3159 | 9501);
    if of_a_login && let Some(kind) = of_proxy(message) {
        return kind;
    }
    match number {
        1045 => ErrorKind::Refused,
        1129 | 1130 | 1524 | 3159 => ErrorKind::Rejected,
        1040 | 1203 | 1226 | 9501 => ErrorKind::Full,
        1053 | 1158..=1161 | 1927 | 4031 => ErrorKind::Disconnected,
        1836 | 1792 => ErrorKind::ReadOnly,
        // The same number stands for every `--option` that forbids a statement.
        1290 if message.contains("read-only") || message.contains("read_only") => {
            ErrorKind::ReadOnly
        }
        1020 | 1205 | 1213 => ErrorKind::Conflict,
        number => RELAYED
            .iter()
            .find(|(.., relayed)| *relayed == number)
            .map_or(ErrorKind::Statement, |(kind, ..)| *kind),
    }
}

/// RDS Proxy by its texts, since AWS documents no codes for them.
///
/// Source: Amazon RDS user guide, "Troubleshooting RDS Proxy"; Aurora DSQL user guide,
/// "Troubleshooting".
#[cfg(any(feature = "postgres", feature = "mysql", feature = "data-api", test))]
fn of_proxy(message: &str) -> Option<ErrorKind> {
    const TEXTS: &[(&str, ErrorKind)] = &[
        ("too many competing requests", ErrorKind::Throttled),
        ("rate limit exceeded", ErrorKind::Throttled),
        ("Rate of connection to proxy exceeded", ErrorKind::Throttled),
        (
            "Timed-out waiting to acquire database connection",
            ErrorKind::Full,
        ),
        (
            "number of client connections to the proxy exceeded",
            ErrorKind::Full,
        ),
        ("Number simultaneous connections exceeded", ErrorKind::Full),
        // PgBouncer's, which come as 08P01 whatever they are about.
        ("query_wait_timeout", ErrorKind::Full),
        ("no more connections allowed", ErrorKind::Full),
        ("server login has been failing", ErrorKind::Unavailable),
        ("server conn crashed", ErrorKind::Disconnected),
        ("client_idle_timeout", ErrorKind::Disconnected),
        ("idle transaction timeout", ErrorKind::Disconnected),
        (
            "IAM authentication is allowed only with SSL",
            ErrorKind::Rejected,
        ),
        ("This RDS proxy has no credentials", ErrorKind::Rejected),
        ("RDS supports only IAM", ErrorKind::Rejected),
        ("sni was not received", ErrorKind::Rejected),
        ("Wrong user to action mapping", ErrorKind::Rejected),
        ("server unavailable", ErrorKind::Unavailable),
        ("IAM authentication failed", ErrorKind::Refused),
        (
            "The password that was provided for the role",
            ErrorKind::Refused,
        ),
    ];
    TEXTS
        .iter()
        .find(|(text, _)| message.contains(text))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::Recovery;

    const DOCS: &str = include_str!("../docs/errors.md");

    /// The rows of the tables under headings that begin with `heading`, cell by cell.
    fn rows(heading: &str) -> Vec<Vec<String>> {
        let section = DOCS
            .split("\n## ")
            .find(|section| section.starts_with(heading))
            .unwrap();
        let cells = |line: &str| {
            let line = line.trim_matches('|');
            let trim = |cell: &str| cell.trim().trim_matches('`').to_owned();
            line.split('|').map(trim).collect::<Vec<_>>()
        };
        let of_data = |line: &&str| line.starts_with("| `");
        section.lines().filter(of_data).map(cells).collect()
    }

    #[test]
    fn the_documented_kinds_are_all_there_are() {
        let kinds = [
            ErrorKind::Refused,
            ErrorKind::Rejected,
            ErrorKind::Full,
            ErrorKind::Throttled,
            ErrorKind::Unavailable,
            ErrorKind::Disconnected,
            ErrorKind::ReadOnly,
            ErrorKind::Conflict,
            ErrorKind::Tls,
            ErrorKind::Login,
            ErrorKind::Configuration,
            ErrorKind::InProgress,
            ErrorKind::KeyReused,
            ErrorKind::PoolTimedOut,
            ErrorKind::Overloaded,
            ErrorKind::PoolClosed,
            ErrorKind::Protocol,
            ErrorKind::Statement,
        ];
        let told = kinds.map(|kind| {
            let retry_after = kind
                .retry_after()
                .map(|wait| format!("{} s", wait.as_secs()));
            [
                format!("{kind:?}"),
                format!("{:?}", kind.recovery()),
                kind.http_status().to_string(),
                retry_after.unwrap_or_default(),
            ]
        });
        let documented: Vec<_> = rows("Kinds").iter().map(|row| row[..4].to_vec()).collect();
        assert_eq!(documented, told);
    }

    #[test]
    fn postgres_is_as_documented() {
        let rows = rows("PostgreSQL");
        assert!(rows.len() > 30);
        for row in &rows {
            let [code, routine, message, kind] = row.as_slice() else {
                panic!("{row:?}");
            };
            let routine = Some(routine.as_str()).filter(|routine| !routine.is_empty());
            let found = of_postgres(code, routine, message, true);
            assert_eq!(format!("{found:?}"), *kind, "{row:?}");
        }
        assert_documented(&rows, "fn of_postgres", |word| {
            word.len() == 5 && word.contains(|c: char| c.is_ascii_digit())
        });
    }

    #[test]
    fn mysql_is_as_documented() {
        let rows = rows("MySQL");
        assert!(rows.len() > 20);
        for row in &rows {
            let [number, message, kind] = row.as_slice() else {
                panic!("{row:?}");
            };
            let found = of_mysql(number.parse().unwrap(), message);
            assert_eq!(format!("{found:?}"), *kind, "{row:?}");
        }
        assert_documented(&rows, "fn of_mysql", |word| {
            word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit())
        });
    }

    /// Every code that a function names has a row.
    fn assert_documented(rows: &[Vec<String>], function: &str, is_code: fn(&str) -> bool) {
        let source = include_str!("classify.rs");
        let body = source.split(function).nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let words = body.split(|c: char| !c.is_ascii_alphanumeric());
        let named: Vec<_> = words.filter(|word| is_code(word)).collect();
        assert!(named.len() > 10, "{named:?}");
        for code in named {
            assert!(rows.iter().any(|row| row[0] == code), "{code} has no row");
        }
    }

    #[test]
    fn what_another_server_said_ends_no_session() {
        for code in ["08001", "08006", "57P01", "57P03"] {
            let kind = of_postgres(code, None, "could not connect to server", false);
            assert_eq!(kind, ErrorKind::Statement, "{code}");
        }
    }

    #[test]
    fn trust_failures_are_told_from_lost_connections() {
        let of = |kind| ErrorKind::of(&sqlx::Error::Io(io::Error::from(kind)));
        assert_eq!(of(io::ErrorKind::InvalidData), ErrorKind::Tls);
        assert_eq!(of(io::ErrorKind::InvalidData).recovery(), Recovery::Fail);
        assert_eq!(of(io::ErrorKind::ConnectionRefused), ErrorKind::Unavailable);
        assert_eq!(of(io::ErrorKind::UnexpectedEof), ErrorKind::Disconnected);
        let login = sqlx::Error::from(LoginError::new("no credentials"));
        assert_eq!(ErrorKind::of(&login), ErrorKind::Login);
        let config = sqlx::Error::from(ConfigError::PortZero);
        assert_eq!(ErrorKind::of(&config), ErrorKind::Configuration);
    }

    proptest! {
        #[test]
        fn no_input_panics(code: String, routine: Option<String>, number: u16, message: String) {
            let _ = of_postgres(&code, routine.as_deref(), &message, number % 2 == 0).recovery();
            let _ = of_mysql(number, &message).recovery();
            let _ = of_protocol(&message).recovery();
        }
    }
}
