//! PostgreSQL and MySQL: the two shapes that a login, an address and TLS settings take in sqlx.

use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Database};
use url::Url;

use crate::endpoint::Endpoint;
use crate::login::Login;

pub(crate) mod keys;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

/// sqlx's connect options of an engine.
pub(crate) type OptionsOf<DB> = <<DB as Database>::Connection as Connection>::Options;

/// A database engine that RDS serves: [`sqlx::Postgres`] or [`sqlx::MySql`], which stands for
/// MariaDB too.
///
/// The trait is sealed; it is public so that code can be generic over both.
pub trait Engine: sealed::Engine {}

/// How much of the server's identity a TLS mode proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The engine's default, which falls back to plain text.
    Default,
    /// Less than a checked certificate for the right name.
    Unverified,
    /// A certificate that is checked, for the name that was dialled.
    Verified,
}

/// Where sqlx's options point to.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// The host.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether a Unix socket is used in their place.
    pub socket: bool,
}

/// Where a stub listens: a socket of ours that sqlx takes for a server.
#[derive(Clone, Copy, Debug)]
pub enum StubAddress<'a> {
    /// On the loopback interface.
    Port(u16),
    /// The directory of a Unix socket, whose name there is [`STUB_SOCKET`](sealed::Engine).
    Directory(&'a Path),
}

pub(crate) mod sealed {
    use super::keys::Keys;
    use super::{Address, Duration, Endpoint, Login, OptionsOf, StubAddress, Tls, Url};

    /// What the rest of the crate asks of an engine.
    pub trait Engine: Keys {
        /// OpenTelemetry's `db.system.name`.
        const SYSTEM: &'static str;
        /// The TLS mode to write for a verified connection.
        const VERIFIED_TLS: &'static str;
        /// Schemes of its URLs.
        const SCHEMES: &'static [&'static str];
        /// Parameters of its URLs that sqlx knows; one that ends in `[` is a prefix.
        const PARAMETERS: &'static [&'static str];
        /// Environment variables that sqlx takes a password, a user name and a host from, or `""`.
        const PASSWORD_VARIABLE: &'static str;
        const USERNAME_VARIABLE: &'static str;
        const HOST_VARIABLE: &'static str;
        /// Whether sqlx reads a row-returning statement to its end when asked for one row.
        const DRAINS_AFTER_ONE_ROW: bool;

        /// sqlx's options from a URL that holds no password.
        fn options_from_url(url: &Url) -> Result<OptionsOf<Self>, sqlx::Error>;
        /// sqlx's options from the environment, where the engine has such variables.
        fn options_from_env() -> Option<OptionsOf<Self>>;
        fn address(options: &OptionsOf<Self>) -> Address<'_>;
        fn username(options: &OptionsOf<Self>) -> &str;
        fn tls(options: &OptionsOf<Self>) -> Tls;
        fn tls_mode(options: &OptionsOf<Self>) -> String;
        fn verify_tls(options: OptionsOf<Self>) -> OptionsOf<Self>;
        fn trust(options: OptionsOf<Self>, roots: Vec<u8>) -> OptionsOf<Self>;
        /// Lets a token be sent as it is, which the server needs to check it.
        fn send_in_clear(options: OptionsOf<Self>) -> OptionsOf<Self>;
        /// What an RDS Proxy should run on each of its connections for sqlx's sake.
        const INIT_QUERY: &'static str;
        /// Leaves to the proxy what [`INIT_QUERY`](Self::INIT_QUERY) sets.
        fn leave_to_init_query(options: OptionsOf<Self>) -> OptionsOf<Self>;
        /// Whether the options ask for settings that RDS Proxy refuses at startup.
        fn has_startup_options(options: &OptionsOf<Self>) -> bool;
        /// Leaves out startup parameters that PgBouncer refuses.
        fn without_startup_parameters(options: OptionsOf<Self>) -> OptionsOf<Self>;
        /// Has sqlx keep no prepared statements.
        fn without_statements(options: OptionsOf<Self>) -> OptionsOf<Self>;
        /// SQL that clears a session of statements that sqlx prepared, in a transaction of its own.
        const FORGET_STATEMENTS: &'static str;
        /// Adds a login to options that have none.
        fn authorize(options: &OptionsOf<Self>, login: &Login) -> OptionsOf<Self>;
        /// Leads options to another server.
        fn dial(options: OptionsOf<Self>, endpoint: &Endpoint) -> OptionsOf<Self>;
        fn database_of(options: &OptionsOf<Self>) -> Option<&str>;
        /// Leads options to a database.
        fn database(options: OptionsOf<Self>, name: &str) -> OptionsOf<Self>;

        /// Whether the server takes writes, by asking it.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe, as any statement.
        fn is_writer(
            connection: &mut Self::Connection,
        ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

        /// Whether a PgBouncer carries prepared statements from one connection to the next, by
        /// asking for the name that a statement has there.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe, as any statement.
        fn keeps_statements(
            connection: &mut Self::Connection,
        ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

        /// Has the server end the session once the client has said nothing for so long.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe, as any statement.
        fn limit_idle(
            connection: &mut Self::Connection,
            timeout: Duration,
        ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

        /// Reads what is unread, sends what is unsent, and ends a transaction that is open, in one
        /// round trip. An error means that the connection cannot be proven clean.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe: the connection may be in any state, and must be cleansed again or closed.
        fn cleanse(
            connection: &mut Self::Connection,
        ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

        /// The name that sqlx expects of a stub's Unix socket.
        const STUB_SOCKET: &'static str;
        /// Options for a connection to a stub, on which sqlx runs no statement.
        fn stub_options(address: StubAddress<'_>, username: &str) -> OptionsOf<Self>;
        /// What a stub says before and after the client's first packet.
        fn stub_handshake() -> [Vec<u8>; 2];
        /// What it says in place of the latter: the server's own error, or in its form one that
        /// no server gave. sqlx's pool takes none of them for a reason to try again.
        fn stub_refusal(error: &sqlx::Error) -> Vec<u8>;
        /// What it answers to a ping.
        fn stub_pong() -> Vec<u8>;
    }
}

/// The password in sqlx's options, which they show only in a URL.
///
/// Nothing is returned where it cannot be told: sqlx builds that URL without escaping, so that a
/// strange user name would read as a password or panic.
pub(crate) fn has_password<DB: Engine>(options: &OptionsOf<DB>) -> Option<bool> {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let Address { host, socket, .. } = DB::address(options);
    if !plain(DB::username(options)) || socket || !plain(host) {
        return None;
    }
    Some(options.to_url_lossy().password().is_some())
}

/// An error with its causes in one line, for a protocol that has room for one text.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn in_one_line(error: &sqlx::Error) -> String {
    use std::error::Error as _;

    // Where there is a cause, sqlx's own words only say that there is one.
    let mut cause = error.source();
    let mut text = cause.map_or_else(|| error.to_string(), ToString::to_string);
    while let Some(error) = cause {
        let words = error.to_string();
        // Many texts repeat their cause.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text.replace('\0', " ")
}
