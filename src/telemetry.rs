//! Every span, event and field name, each spelt once.
//!
//! Names follow OpenTelemetry's semantic conventions for databases where those have one. No
//! function here takes a value that holds a secret.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::time::Duration;

use crate::endpoint::Endpoint;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span, error, info, warn};

mod pool;

pub(crate) use self::pool::*;

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

/// Around one connect, with all its attempts.
pub(crate) fn connect_span(system: &'static str, endpoint: Option<&Endpoint>) -> Span {
    debug_span!(
        target: "sqlx_rds::connect",
        "connect",
        otel.kind = "client",
        db.system.name = system,
        server.address = endpoint.map(Endpoint::host),
        server.port = endpoint.map(Endpoint::port),
    )
}

/// Around one unit of work, with all its attempts; [`unit_ended`] adds their sum.
pub(crate) fn unit_span(system: &'static str) -> Span {
    debug_span!(
        target: "sqlx_rds::pool",
        "unit of work",
        db.system.name = system,
        attempts = Empty,
        waited_ms = Empty,
        took_ms = Empty,
        succeeded = Empty,
    )
}

/// What all attempts of a unit of work came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitFacts {
    pub(crate) attempts: u32,
    /// Between attempts.
    pub(crate) waited: Duration,
    pub(crate) took: Duration,
    pub(crate) succeeded: bool,
}

/// A unit of work has ended.
pub(crate) fn unit_ended(span: &Span, facts: UnitFacts) {
    let (waited_ms, took_ms) = (millis(facts.waited), millis(facts.took));
    let (attempts, succeeded) = (facts.attempts, facts.succeeded);
    span.record("attempts", attempts)
        .record("waited_ms", waited_ms)
        .record("took_ms", took_ms)
        .record("succeeded", succeeded);
    debug!(
        target: "sqlx_rds::pool",
        parent: span,
        { attempts, waited_ms, took_ms, succeeded },
        "unit of work ended"
    );
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

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Connect,
    Work,
    #[cfg(feature = "data-api")]
    Call,
}

/// A passing failure; the loop waits and tries again.
pub(crate) fn retrying(what: Tried, attempt: u32, delay: Duration, error: &impl Display) {
    let delay_ms = millis(delay);
    match what {
        Tried::Connect => info!(
            target: "sqlx_rds::connect",
            { attempt, delay_ms, error = %error },
            "not yet, trying again"
        ),
        Tried::Work => info!(
            target: "sqlx_rds::pool",
            { attempt, delay_ms, error = %error },
            "work failed, running it again"
        ),
        #[cfg(feature = "data-api")]
        Tried::Call => info!(
            target: "sqlx_rds::data_api",
            { attempt, delay_ms, error = %error },
            "call failed, making it again"
        ),
    }
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

/// A rotation is under way, and the version that it brings is tried.
#[cfg(feature = "secrets-agent")]
pub(crate) fn secret_pending(version: &str) {
    info!(
        target: "sqlx_rds::login",
        { secret.version = version },
        "secret is being rotated: logging in with AWSPENDING"
    );
}

/// Both versions of a secret were refused while it is rotated.
#[cfg(feature = "secrets-agent")]
pub(crate) fn secret_awaited(version: &str, wait: Duration) {
    info!(
        target: "sqlx_rds::login",
        {
            secret.version = version,
            delay_ms = millis(wait),
        },
        "secret is being rotated: waiting for its next version"
    );
}

/// A secret that is waited for could not be read.
#[cfg(feature = "secrets-agent")]
pub(crate) fn secret_unread(error: &(dyn Error + 'static)) {
    warn!(
        target: "sqlx_rds::login",
        error = %Chain(error),
        "secret could not be read: asking again"
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

/// Work with an idempotency key was done, now or before.
#[cfg(feature = "idempotency")]
pub(crate) fn done_once(repeat: bool) {
    debug!(target: "sqlx_rds::pool", repeat, "work done once");
}

/// A message of a queue could not be stored, and will come again.
#[cfg(feature = "lambda")]
pub(crate) fn message_failed(id: &str, receives: u32, error: &impl Display) {
    warn!(
        target: "sqlx_rds::lambda",
        {
            messaging.message.id = id,
            receives,
            error = %error,
        },
        "message could not be stored"
    );
}

/// The invocation's time is over before all messages of a queue were looked at.
#[cfg(feature = "lambda")]
pub(crate) fn messages_left(messages: usize) {
    warn!(
        target: "sqlx_rds::lambda",
        messages,
        "the invocation's time is over: messages will come again"
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
