//! Every span, event and field name, each spelt once.
//!
//! Names follow OpenTelemetry's semantic conventions for databases where those have one. No
//! function here takes a value that holds a secret.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::time::Duration;

use log::LevelFilter;
use tracing::{Level, Span, debug, debug_span, error, info, warn};

/// What may be told of a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginFacts<'a> {
    pub(crate) username: &'a str,
    pub(crate) generation: u64,
    pub(crate) valid_for: Option<Duration>,
}

/// Why a login is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshReason {
    /// There is none yet.
    Missing,
    /// It will expire within the margin.
    Expiring,
    /// It has expired.
    Expired,
    /// The server refused it.
    Refused,
}

impl RefreshReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

/// Why a pooled connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscardReason {
    /// It is older than `max_lifetime`.
    Lifetime,
    /// It was unused for longer than `idle_timeout`.
    Idle,
    /// It is dead.
    Lost,
    /// Its server is not the writer any more.
    Reader,
    /// A connection of its age was found dead or led to a reader.
    Epoch,
    /// What was left on it could not be drained in time.
    Drain,
    /// A statement or transaction left it in a state that cannot be proven clean.
    Unclean,
    /// A callback did not want it.
    Rejected,
    /// It was closed on purpose.
    Closed,
    /// It has left the pool, open.
    Taken,
}

impl DiscardReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::Lost => "lost",
            Self::Reader => "reader",
            Self::Epoch => "epoch",
            Self::Drain => "drain",
            Self::Unclean => "unclean",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
            Self::Taken => "taken",
        }
    }

    /// Whether the conversation with the server can be ended in due form.
    pub(crate) fn leaves_in_order(self) -> bool {
        match self {
            Self::Lifetime
            | Self::Idle
            | Self::Reader
            | Self::Epoch
            | Self::Rejected
            | Self::Closed => true,
            Self::Lost | Self::Drain | Self::Unclean | Self::Taken => false,
        }
    }
}

/// Around one connect, with all its attempts.
pub(crate) fn connect_span(system: &'static str, host: &str, port: u16) -> Span {
    debug_span!(
        target: "sqlx_rds::connect",
        "connect",
        otel.kind = "client",
        db.system.name = system,
        server.address = host,
        server.port = port,
    )
}

/// A connection is open and logged in.
pub(crate) fn connected(login: LoginFacts<'_>, took: Duration) {
    debug!(
        target: "sqlx_rds::connect",
        {
            login.username = login.username,
            login.generation = login.generation,
            took_ms = millis(took),
        },
        "connected"
    );
}

/// A connect ended without a connection; `advice` says what a person can do.
pub(crate) fn connect_failed(kind: &impl Debug, error: &impl Display, advice: &str) {
    warn!(
        target: "sqlx_rds::connect",
        {
            "error.type" = ?kind,
            error = %error,
            advice,
        },
        "connect failed"
    );
}

/// A passing failure; the loop waits and tries again.
pub(crate) fn retrying(attempt: u32, delay: Duration, error: &impl Display) {
    info!(
        target: "sqlx_rds::connect",
        {
            attempt,
            delay_ms = millis(delay),
            error = %error,
        },
        "not yet, trying again"
    );
}

/// The server refused a login; another one is tried once.
pub(crate) fn refused(login: LoginFacts<'_>, error: &impl Display) {
    warn!(
        target: "sqlx_rds::login",
        {
            login.username = login.username,
            login.generation = login.generation,
            login.valid_for_s = login.valid_for.map(|left| left.as_secs()),
            error = %error,
        },
        "login refused"
    );
}

/// An IAM token was signed.
#[cfg(feature = "iam")]
pub(crate) fn minted(endpoint: &impl Display, username: &str, region: &str, valid_for: Duration) {
    debug!(
        target: "sqlx_rds::login",
        {
            sign.address = %endpoint,
            login.username = username,
            cloud.region = region,
            login.valid_for_s = valid_for.as_secs(),
        },
        "token minted"
    );
}

/// AWS credentials were fetched.
#[cfg(feature = "iam")]
pub(crate) fn credentials_fetched(valid_for: Option<Duration>) {
    debug!(
        target: "sqlx_rds::login",
        {
            credentials.valid_for_s = valid_for.map(|left| left.as_secs()),
        },
        "AWS credentials fetched"
    );
}

/// AWS credentials could not be fetched.
#[cfg(feature = "iam")]
pub(crate) fn credentials_failed(error: &(dyn Error + 'static), old_ones_live: bool) {
    warn!(
        target: "sqlx_rds::login",
        {
            error = %Chain(error),
            old_ones_live,
        },
        "AWS credentials could not be fetched"
    );
}

/// The cache has a new login.
pub(crate) fn refreshed(login: LoginFacts<'_>, reason: RefreshReason, took: Duration) {
    debug!(
        target: "sqlx_rds::login",
        {
            login.username = login.username,
            login.generation = login.generation,
            login.valid_for_s = login.valid_for.map(|left| left.as_secs()),
            reason = reason.as_str(),
            took_ms = millis(took),
        },
        "login refreshed"
    );
}

/// The cache could not get a new login.
pub(crate) fn refresh_failed(reason: RefreshReason, error: &(dyn Error + 'static), took: Duration) {
    warn!(
        target: "sqlx_rds::login",
        {
            reason = reason.as_str(),
            error = %Chain(error),
            took_ms = millis(took),
        },
        "login could not be refreshed"
    );
}

/// The refresh failed, and the old login, which still lives, is used.
pub(crate) fn refresh_put_off(login: LoginFacts<'_>) {
    warn!(
        target: "sqlx_rds::login",
        {
            login.generation = login.generation,
            login.valid_for_s = login.valid_for.map(|left| left.as_secs()),
        },
        "using the old login while it lives"
    );
}

/// A pooled connection was vetted by a ping.
pub(crate) fn recycled(idle_for: Duration) {
    debug!(target: "sqlx_rds::pool", idle_ms = millis(idle_for), "connection answered a ping");
}

/// A pooled connection was dropped.
pub(crate) fn discarded(reason: DiscardReason, generation: u64) {
    debug!(
        target: "sqlx_rds::pool",
        {
            reason = reason.as_str(),
            login.generation = generation,
        },
        "connection discarded"
    );
}

/// No connection became free in time.
pub(crate) fn acquire_timed_out(waited: Duration, size: usize, idle: usize, waiting: usize) {
    warn!(
        target: "sqlx_rds::pool",
        {
            waited_ms = millis(waited),
            size,
            idle,
            waiting,
        },
        "no connection became free in time"
    );
}

/// The server refused a login for good: none is tried for a while.
pub(crate) fn logins_suspended(pause: Duration) {
    warn!(target: "sqlx_rds::login", pause_ms = millis(pause), "logins are refused: pausing");
}

/// Logins are tried freely again.
pub(crate) fn logins_resumed() {
    info!(target: "sqlx_rds::login", "logins are no longer refused");
}

/// A task was turned away because too many wait for a connection.
pub(crate) fn overloaded(max_waiters: usize) {
    warn!(target: "sqlx_rds::pool", max_waiters, "too many tasks wait for a connection");
}

/// The server had no connection left, and the pool makes do with fewer for a while.
pub(crate) fn full(open: usize, limit: usize) {
    warn!(target: "sqlx_rds::pool", open, limit, "the server is full: holding fewer connections");
}

/// A connection was acquired; `threshold` where that took longer.
pub(crate) fn acquired(level: LevelFilter, took: Duration, threshold: Option<Duration>) {
    macro_rules! event {
        ($($filter:ident $level:ident),+) => {
            match level {
                LevelFilter::Off => {}
                $(LevelFilter::$filter => tracing::event!(
                    target: "sqlx_rds::pool",
                    Level::$level,
                    {
                        took_ms = millis(took),
                        slow_threshold_ms = threshold.map(millis),
                    },
                    "acquired connection"
                ),)+
            }
        };
    }
    event!(Error ERROR, Warn WARN, Info INFO, Debug DEBUG, Trace TRACE);
}

/// A callback of the app failed; its connection is closed.
pub(crate) fn callback_failed(callback: &'static str, error: &impl Display) {
    warn!(
        target: "sqlx_rds::pool",
        {
            callback,
            error = %error,
        },
        "callback failed"
    );
}

/// The pool holds fewer connections than it should, and could not open another.
pub(crate) fn below_min_connections(error: &impl Display) {
    warn!(
        target: "sqlx_rds::pool",
        {
            error = %error,
        },
        "min_connections could not be reached, trying again later"
    );
}

/// A lazy pool was made of settings that cannot work; every acquire will say so too.
pub(crate) fn misconfigured(error: &impl Display) {
    error!(
        target: "sqlx_rds::options",
        {
            error = %error,
        },
        "no connection can be opened with these settings"
    );
}

/// A stub could not make its Unix socket, and listens on loopback TCP.
pub(crate) fn stub_on_tcp(error: &impl Display) {
    info!(
        target: "sqlx_rds::pool",
        error = %error,
        "no Unix socket for a sqlx pool: using a loopback port"
    );
}

/// Somebody dialled a stub who is not the pool it serves.
pub(crate) fn stranger_turned_away() {
    warn!(target: "sqlx_rds::pool", "a stranger dialled the socket of a sqlx pool: turned away");
}

/// A stub could not accept sqlx's connection, most often for want of file descriptors.
pub(crate) fn stub_cannot_accept(error: &impl Display) {
    warn!(target: "sqlx_rds::pool", error = %error, "the socket of a sqlx pool accepts nothing");
}

/// A URL has a parameter that neither sqlx nor we know. Its value may be a misspelt password.
pub(crate) fn unknown_parameter(key: &str) {
    warn!(target: "sqlx_rds::options", key, "ignoring an unknown parameter of the database URL");
}

/// Shows an error with its causes, which its own text leaves out.
struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
