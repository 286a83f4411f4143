//! PostgreSQL and MySQL: the two shapes that a login, an address and TLS settings take in sqlx.

use sqlx::{ConnectOptions, Connection, Database};
use url::Url;

use crate::login::Login;

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

pub(crate) mod sealed {
    use super::{Address, Database, Login, OptionsOf, Tls, Url};

    /// What the rest of the crate asks of an engine.
    pub trait Engine: Database {
        /// OpenTelemetry's `db.system.name`.
        const SYSTEM: &'static str;
        /// The TLS mode to write for a verified connection.
        const VERIFIED_TLS: &'static str;
        /// Schemes of its URLs.
        const SCHEMES: &'static [&'static str];
        /// Parameters of its URLs that sqlx knows; one that ends in `[` is a prefix.
        const PARAMETERS: &'static [&'static str];
        /// Environment variables that sqlx takes a password and a user name from, or `""`.
        const PASSWORD_VARIABLE: &'static str;
        const USERNAME_VARIABLE: &'static str;
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
        /// Adds a login to options that have none.
        fn authorize(options: &OptionsOf<Self>, login: &Login) -> OptionsOf<Self>;

        /// Reads what is unread, sends what is unsent, and ends a transaction that is open, in one
        /// round trip. An error means that the connection cannot be proven clean.
        fn cleanse(
            connection: &mut Self::Connection,
        ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

        /// Options for a connection to a socket of ours that answers nothing but pings.
        fn shell_options(port: u16, username: &str) -> OptionsOf<Self>;
        /// What that socket says before and after the client's first packet.
        fn shell_handshake() -> [Vec<u8>; 2];
        /// What it answers to a ping.
        fn shell_pong() -> Vec<u8>;
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
