//! MySQL and MariaDB in sqlx's terms.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySql, Row, raw_sql};
use url::Url;

use crate::classify;
use crate::endpoint::Endpoint;
use crate::engine::{Address, Engine, StubAddress, Tls, in_one_line, sealed};
use crate::kind::ErrorKind;
use crate::login::Login;

impl Engine for MySql {}

impl sealed::Engine for MySql {
    const SYSTEM: &'static str = "mysql";
    const VERIFIED_TLS: &'static str = "ssl-mode=VERIFY_IDENTITY";
    const SCHEMES: &'static [&'static str] = &["mysql", "mariadb"];
    const PARAMETERS: &'static [&'static str] = &[
        "sslmode",
        "ssl-mode",
        "charset",
        "collation",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "socket",
        "timezone",
        "time-zone",
    ];
    const PASSWORD_VARIABLE: &'static str = "";
    const USERNAME_VARIABLE: &'static str = "";
    const HOST_VARIABLE: &'static str = "";
    const DRAINS_AFTER_ONE_ROW: bool = false;

    fn options_from_url(url: &Url) -> Result<MySqlConnectOptions, sqlx::Error> {
        MySqlConnectOptions::from_url(url)
    }

    fn options_from_env() -> Option<MySqlConnectOptions> {
        None
    }

    fn address(options: &MySqlConnectOptions) -> Address<'_> {
        Address {
            host: options.get_host(),
            port: options.get_port(),
            socket: options.get_socket().is_some(),
        }
    }

    fn username(options: &MySqlConnectOptions) -> &str {
        options.get_username()
    }

    fn tls(options: &MySqlConnectOptions) -> Tls {
        match options.get_ssl_mode() {
            MySqlSslMode::Preferred => Tls::Default,
            MySqlSslMode::VerifyIdentity => Tls::Verified,
            MySqlSslMode::Disabled | MySqlSslMode::Required | MySqlSslMode::VerifyCa => {
                Tls::Unverified
            }
        }
    }

    fn tls_mode(options: &MySqlConnectOptions) -> String {
        format!("{:?}", options.get_ssl_mode())
    }

    fn verify_tls(options: MySqlConnectOptions) -> MySqlConnectOptions {
        options.ssl_mode(MySqlSslMode::VerifyIdentity)
    }

    fn trust(options: MySqlConnectOptions, roots: Vec<u8>) -> MySqlConnectOptions {
        options.ssl_ca_from_pem(roots)
    }

    fn send_in_clear(options: MySqlConnectOptions) -> MySqlConnectOptions {
        options.enable_cleartext_plugin(true)
    }

    const INIT_QUERY: &'static str = "SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION'), \
                                     time_zone = '+00:00', NAMES utf8mb4";

    fn leave_to_init_query(options: MySqlConnectOptions) -> MySqlConnectOptions {
        options
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
    }

    fn has_startup_options(_: &MySqlConnectOptions) -> bool {
        false
    }

    fn without_startup_parameters(options: MySqlConnectOptions) -> MySqlConnectOptions {
        options
    }

    fn without_statements(options: MySqlConnectOptions) -> MySqlConnectOptions {
        options
    }

    const FORGET_STATEMENTS: &'static str = "";

    fn authorize(options: &MySqlConnectOptions, login: &Login) -> MySqlConnectOptions {
        options
            .clone()
            .username(login.username())
            .password(login.password().expose())
    }

    fn dial(options: MySqlConnectOptions, endpoint: &Endpoint) -> MySqlConnectOptions {
        options.host(endpoint.host()).port(endpoint.port())
    }

    fn database_of(options: &MySqlConnectOptions) -> Option<&str> {
        options.get_database()
    }

    fn database(options: MySqlConnectOptions, name: &str) -> MySqlConnectOptions {
        options.database(name)
    }

    async fn is_writer(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
        // A number, or in newer MariaDB a word. Aurora's readers have the second set.
        let asked = "SELECT @@global.read_only IN ('0', 'OFF') \
                     AND @@global.innodb_read_only IN ('0', 'OFF')";
        let row = connection.fetch_one(raw_sql(asked)).await?;
        Ok(row.try_get::<i64, _>(0)? == 1)
    }

    async fn keeps_statements(_: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
        Ok(true)
    }

    async fn limit_idle(
        connection: &mut MySqlConnection,
        timeout: Duration,
    ) -> Result<(), sqlx::Error> {
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        let set = AssertSqlSafe(format!("SET SESSION wait_timeout = {seconds}"));
        connection.execute(raw_sql(set)).await.map(drop)
    }

    async fn cleanse(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        // sqlx can take what is left of a statement whose preparation was cancelled for rows of this
        // one: it has none, and whoever reads on would wait for ever, or read answers one behind.
        let mut steps = connection.fetch_many("ROLLBACK");
        while let Some(step) = steps.try_next().await? {
            if step.is_right() {
                let text = "a row in answer to ROLLBACK: an earlier answer was cut in two";
                return Err(sqlx::Error::Protocol(text.into()));
            }
        }
        Ok(())
    }

    const STUB_SOCKET: &'static str = "mysqld.sock";

    fn stub_options(address: StubAddress<'_>, username: &str) -> MySqlConnectOptions {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .username(username)
            .ssl_mode(MySqlSslMode::Disabled)
            .statement_cache_capacity(0)
            // Without these four, sqlx sends a statement after the handshake.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false);
        match address {
            StubAddress::Port(port) => options.port(port),
            StubAddress::Directory(directory) => options.socket(directory.join(Self::STUB_SOCKET)),
        }
    }

    fn stub_handshake() -> [Vec<u8>; 2] {
        [packet(0, GREETING), packet(2, OK)]
    }

    fn stub_refusal(error: &sqlx::Error) -> Vec<u8> {
        let from_server = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        let relayed;
        let (number, state, text) = match from_server {
            Some(error) => (error.number(), error.code(), error.message()),
            None => {
                relayed = in_one_line(error);
                let (_, number) = classify::relayed_as(ErrorKind::of(error));
                (number, None, relayed.as_str())
            }
        };
        let mut payload = vec![0xff];
        payload.extend_from_slice(&number.to_le_bytes());
        payload.push(b'#');
        payload.extend_from_slice(state.unwrap_or(GENERAL_ERROR).as_bytes());
        // No server's text comes near this bound, which keeps the message in one packet.
        payload.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(65_536)]);
        packet(2, &payload)
    }

    fn stub_pong() -> Vec<u8> {
        packet(1, OK)
    }
}

/// Protocol 10 with the capabilities PROTOCOL_41 and SECURE_CONNECTION, and no plugin.
const GREETING: &[u8] = b"\x0a8.0.0\0\
    \x01\0\0\0\
    \x01\x01\x01\x01\x01\x01\x01\x01\0\
    \x00\x82\x2d\x02\x00\x00\x00\x00\
    \0\0\0\0\0\0\0\0\0\0\
    \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\0";

/// No rows, no insert id, autocommit, no warnings.
const OK: &[u8] = b"\x00\x00\x00\x02\x00\x00\x00";

/// The SQLSTATE of what has none of its own.
const GENERAL_ERROR: &str = "HY000";

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    // Three bytes of length: no payload here is longer than one packet.
    let [low, middle, high, _] = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    let mut packet = vec![low, middle, high, sequence];
    packet.extend_from_slice(payload);
    packet
}
