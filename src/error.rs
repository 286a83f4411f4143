//! What can be wrong with a setting, and what can go wrong while a login is made.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use crate::kind::ErrorKind;

/// A setting that cannot work, found before anything is connected.
///
/// Each text says what to write instead.
/// Methods that mirror sqlx return it inside [`sqlx::Error::Configuration`], from where
/// `downcast_ref::<ConfigError>()` gives it back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The user name is empty or missing.
    #[error(
        "the user name is empty; name the database user, as in `postgres://app@host:5432/orders`"
    )]
    EmptyUsername,

    /// The host is empty or missing.
    #[error("the host is empty; name the database host, as in `postgres://app@host:5432/orders`")]
    EmptyHost,

    /// The host carries a scheme, a path, a port or a user: it is not a host name.
    #[error("`{given}` is not a host name; write only the name, as in `{instead}`")]
    NotAHost {
        /// The text that was given.
        given: String,
        /// The host name found in it, or an example where none was found.
        instead: String,
    },

    /// The port is 0.
    #[error("port 0 cannot be dialled; write the port the database listens on, as in 5432 or 3306")]
    PortZero,

    /// The AWS region is neither given nor part of the host name.
    #[error(
        "no AWS region can be read from the host `{host}`; give the database's region, \
         as `?region=eu-west-1` in the URL or `.region(\"eu-west-1\")`, and, where the host is an \
         alias, the RDS endpoint as `?sign-host=`"
    )]
    MissingRegion {
        /// The host that the token would be signed for.
        host: String,
    },

    /// The text given as a region does not look like one.
    #[error("`{given}` is not an AWS region; write it as in `eu-west-1`")]
    InvalidRegion {
        /// The text that was given.
        given: String,
    },

    /// The given region is not the one in the RDS host name.
    #[error(
        "the region is given as `{given}`, but the host is in `{host}`; RDS accepts only tokens \
         for its own region: drop `region`"
    )]
    RegionMismatch {
        /// The region that was given.
        given: String,
        /// The region in the host name.
        host: String,
    },

    /// The lifetime of a token is outside what RDS accepts, or has a fraction of a second.
    #[error("a token cannot live for {given:?}; write whole seconds from 1 s to 900 s")]
    TokenLifetime {
        /// The lifetime that was given.
        given: Duration,
    },

    /// The login is a bearer secret, and TLS as set would show it to whoever answers.
    #[error(
        "TLS mode `{mode}` does not prove who the server is, and this login is a bearer secret; \
         write `{instead}`, or leave it out, which means the same"
    )]
    UnverifiedTls {
        /// The TLS mode that was given.
        mode: String,
        /// What to write instead.
        instead: &'static str,
    },

    /// The root certificates cannot be used.
    #[error("the root certificates in {origin} cannot be used: {reason}")]
    RootCertificates {
        /// Where they came from: a path, or "the given PEM".
        origin: String,
        /// What is wrong with them, and what is wanted.
        reason: String,
    },

    /// The URL cannot be parsed. The text never repeats the URL: it may hold a password.
    #[error("the database URL cannot be used: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },

    /// A parameter of the URL has a value that is not known.
    #[error("`{key}={value}` is not known; write {instead}")]
    Parameter {
        /// The parameter's name.
        key: &'static str,
        /// The value that was given.
        value: String,
        /// What to write instead.
        instead: &'static str,
    },

    /// Two settings exclude each other.
    #[error("{0}")]
    Conflict(&'static str),

    /// The setting needs a cargo feature that is off.
    #[error("{what} needs the cargo feature `{feature}` of sqlx-rds; switch it on in Cargo.toml")]
    MissingFeature {
        /// What was asked for.
        what: &'static str,
        /// The feature to switch on.
        feature: &'static str,
    },

    /// A pool that works by a task of its own was asked for outside a tokio runtime.
    #[error(
        "`sqlx_pool` was called outside a tokio runtime; call it inside the one that will use the \
         pool, as in an `async fn` under `#[tokio::main]`"
    )]
    NoRuntime,

    /// A setting of the pool is out of range.
    #[error("`{setting}` cannot be {given}; write {instead}")]
    OutOfRange {
        /// The setting's name.
        setting: &'static str,
        /// The value that was given.
        given: String,
        /// What to write instead.
        instead: &'static str,
    },
}

impl From<ConfigError> for sqlx::Error {
    fn from(error: ConfigError) -> Self {
        sqlx::Error::Configuration(Box::new(error))
    }
}

/// No login could be made: no AWS credentials, a secret that cannot be read, a provider that fails.
///
/// It never holds a secret.
/// Clones share the source, since every task that waited for the one refresh gets the same error.
/// Inside an [`sqlx::Error`] it is the inner error of [`sqlx::Error::Io`]. A connect that meets it
/// fails at once: sources have retries of their own.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no login could be made: {message}")]
pub struct LoginError {
    message: Cow<'static, str>,
    #[source]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl LoginError {
    /// An error that says what failed, in a phrase without a full stop and without a secret.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }
}

impl From<LoginError> for sqlx::Error {
    fn from(error: LoginError) -> Self {
        sqlx::Error::Io(std::io::Error::other(error))
    }
}

/// The server refused several logins in a row for good, and none is tried for a while: trying on would
/// block this host in MySQL, and use up the logins that RDS serves in a second.
///
/// The pause begins below half a second, doubles with each refusal up to 30 s, and ends with the
/// first login that is not refused; then one login is tried at a time. Inside an [`sqlx::Error`] it
/// is the inner error of [`sqlx::Error::Io`]; [`ErrorKind::of`](crate::ErrorKind::of) tells the kind
/// of the refusal.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "no login is tried for another {} ms, since the server refused the last: {reason}",
    wait.as_millis()
)]
pub struct LoginsSuspended {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: String,
    pub(crate) wait: Duration,
}

impl LoginsSuspended {
    /// How long until a login is tried again; zero while somebody is trying.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

impl From<LoginsSuspended> for sqlx::Error {
    fn from(error: LoginsSuspended) -> Self {
        sqlx::Error::Io(std::io::Error::other(error))
    }
}

/// The server takes no writes: a name that is stale after a failover, or a reader endpoint.
///
/// Only [`verify_writer`](crate::ConnectOptions::verify_writer) asks. Inside an [`sqlx::Error`] it is
/// the inner error of [`sqlx::Error::Io`]; [`ErrorKind::of`](crate::ErrorKind::of) tells it as
/// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{endpoint} is not a writer; give the cluster's writer endpoint, or leave out `verify_writer`"
)]
pub struct NotWriter {
    pub(crate) endpoint: String,
}

impl From<NotWriter> for sqlx::Error {
    fn from(error: NotWriter) -> Self {
        sqlx::Error::Io(std::io::Error::other(error))
    }
}

/// As many tasks wait for a connection as
/// [`max_waiters`](crate::PoolOptions::max_waiters) allows, and one more came.
///
/// Inside an [`sqlx::Error`] it is the inner error of [`sqlx::Error::Io`];
/// [`ErrorKind::of`](crate::ErrorKind::of) tells it as
/// [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max_waiters} tasks wait for a connection already, which is `max_waiters`")]
pub struct Overloaded {
    /// How many may wait.
    pub max_waiters: usize,
}

impl From<Overloaded> for sqlx::Error {
    fn from(error: Overloaded) -> Self {
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::WouldBlock, error))
    }
}

/// A unit of work that is to take effect once could not be told from another, or not answered.
///
/// Inside an [`sqlx::Error`] it is the inner error of [`sqlx::Error::Io`];
/// [`ErrorKind::of`](crate::ErrorKind::of) tells the first two as
/// [`ErrorKind::InProgress`](crate::ErrorKind::InProgress) and
/// [`ErrorKind::KeyReused`](crate::ErrorKind::KeyReused).
#[cfg(feature = "idempotency")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdempotencyError {
    /// Another call with the same key is under way. Answer with 409; the client may ask again.
    #[error("the work with this idempotency key is under way; ask again when it may be done")]
    InProgress,

    /// The key came with another request before. Answer with 422.
    #[error("this idempotency key was used for another request; use a new key for new work")]
    KeyReused,

    /// The result is too long to be stored; nothing was committed.
    #[error("the result has {bytes} bytes as JSON, of 65,536 at most; return less, as an id")]
    ResultTooLarge {
        /// How long it is.
        bytes: usize,
    },

    /// The result cannot be written as JSON, and nothing was committed; or what is stored is of
    /// another type than what is asked for, as after a deployment that changed it.
    #[error("the result is not JSON of the type that is asked for: {0}")]
    UnfitResult(String),

    /// The work ended the transaction that it was in, so that its result is not stored with it. It
    /// may have taken effect.
    #[error(
        "the work ended its transaction itself: by COMMIT, by ROLLBACK, or by a statement that \
         commits, as CREATE TABLE in MySQL; leave that to the pool"
    )]
    TransactionEnded,
}

#[cfg(feature = "idempotency")]
impl From<IdempotencyError> for sqlx::Error {
    fn from(error: IdempotencyError) -> Self {
        sqlx::Error::Io(std::io::Error::other(error))
    }
}
