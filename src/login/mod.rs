//! Who logs in, and with what.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::endpoint::Endpoint;
use crate::error::LoginError;
use crate::password::Password;
use crate::telemetry::LoginFacts;

pub(crate) mod cache;
#[cfg(feature = "aws-config")]
pub(crate) mod chain;
#[cfg(feature = "iam")]
pub(crate) mod credentials;
#[cfg(feature = "iam")]
pub(crate) mod environment;
#[cfg(feature = "iam")]
pub(crate) mod iam;
#[cfg(feature = "secrets-agent")]
pub(crate) mod secret;

/// One immutable login: user name, password and expiry, replaced only as a whole.
#[derive(Debug)]
pub struct Login {
    username: String,
    password: Password,
    expires_at: Option<SystemTime>,
    refresh_at: Option<SystemTime>,
    version: Option<String>,
    server: Option<Server>,
    generation: u64,
}

/// Where a secret says that its database is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) database: Option<String>,
}

impl Login {
    /// A login that never expires; see [`with_expiry`](Self::with_expiry).
    pub fn new(username: impl Into<String>, password: impl Into<Password>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
            expires_at: None,
            refresh_at: None,
            version: None,
            server: None,
            generation: 0,
        }
    }

    /// Sets the instant, on the wall clock, from which the server refuses this login.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = expires_at.into();
        self
    }

    /// Sets the instant, on the wall clock, from which the source is asked for a newer login.
    ///
    /// Where the source fails then, this one is used on. Default: a minute before it expires.
    #[must_use]
    pub fn with_refresh_at(mut self, refresh_at: impl Into<Option<SystemTime>>) -> Self {
        self.refresh_at = refresh_at.into();
        self
    }

    /// Names the version of what is stored elsewhere and rotated, as a secret is.
    ///
    /// A login of the version that is in use is that same login, and no new generation. Pools close
    /// connections that logged in with an older version; see
    /// [`retire_on_rotation`](crate::PoolOptions::retire_on_rotation).
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Leads connections to a server of the login's own.
    #[cfg(feature = "secrets-agent")]
    pub(crate) fn with_server(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// The version of what is stored elsewhere, if it has any.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The database user.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password or token.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// The instant from which the server refuses this login, if there is one.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The number of this login among those of its cache, counted from 1; 0 outside a cache.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Enters a cache that wants a newer login `margin` before this one expires.
    ///
    /// A login whose whole life is shorter than two margins is used for half of it: refreshing it
    /// at every connect would help nobody.
    pub(crate) fn enter(mut self, generation: u64, now: SystemTime, margin: Duration) -> Self {
        self.generation = generation;
        let before_expiry = self.expires_at.map(|end| {
            let life = end.duration_since(now).unwrap_or_default();
            end.checked_sub(margin.min(life / 2)).unwrap_or(now)
        });
        self.refresh_at = self.refresh_at.into_iter().chain(before_expiry).min();
        self
    }

    /// Whether it is but another copy of `other`.
    fn is_same_version(&self, other: &Self) -> bool {
        self.version.is_some() && self.version == other.version && self.username == other.username
    }

    /// Whether the server takes it, as far as the clock tells, and for long enough to come.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.refresh_at.is_none_or(|then| now < then)
    }

    /// Whether the server takes it, as far as the clock tells.
    pub(crate) fn is_alive(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// What may be told of it.
    pub(crate) fn facts(&self, now: SystemTime) -> LoginFacts<'_> {
        LoginFacts {
            username: &self.username,
            generation: self.generation,
            valid_for: self
                .expires_at
                .map(|end| end.duration_since(now).unwrap_or_default()),
        }
    }
}

/// The future that [`ProvideLogin::provide_login`] returns.
pub type ProvideLoginFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Login, LoginError>> + Send + 'a>>;

/// A source of logins: IAM tokens here, or a vault, another cloud, a file of your own.
///
/// A pool asks it only when its current login is about to expire or was refused, and never twice
/// at once. Closures that return a future are sources too:
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sqlx_rds::{Login, LoginError, ProvideLogin};
///
/// async fn read_from_vault() -> Result<String, LoginError> {
///     Ok("s3cret".to_owned())
/// }
///
/// fn is_a_source(_: impl ProvideLogin) {}
///
/// is_a_source(async || {
///     let password = read_from_vault().await?;
///     let expires_at = SystemTime::now() + Duration::from_secs(3_600);
///     Ok(Login::new("app", password).with_expiry(expires_at))
/// });
/// ```
pub trait ProvideLogin: Send + Sync + 'static {
    /// Makes or fetches a login.
    ///
    /// `refused` is the login that the server just refused, when that is why a new one is wanted:
    /// a source with caches of its own passes over them then.
    ///
    /// # Errors
    ///
    /// [`LoginError`], whose text and sources hold no secret.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connect that waits for it runs out of time.
    fn provide_login<'a>(&'a self, refused: Option<&'a Login>) -> ProvideLoginFuture<'a>;
}

impl<F, Fut> ProvideLogin for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Login, LoginError>> + Send + 'static,
{
    fn provide_login<'a>(&'a self, _refused: Option<&'a Login>) -> ProvideLoginFuture<'a> {
        Box::pin(self())
    }
}

/// A shared source of logins.
#[derive(Clone)]
pub(crate) struct SharedLoginProvider(Arc<dyn ProvideLogin>);

impl SharedLoginProvider {
    pub(crate) fn new(provider: impl ProvideLogin) -> Self {
        Self(Arc::new(provider))
    }

    pub(crate) fn provide_login<'a>(
        &'a self,
        refused: Option<&'a Login>,
    ) -> ProvideLoginFuture<'a> {
        self.0.provide_login(refused)
    }
}

impl fmt::Debug for SharedLoginProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedLoginProvider")
    }
}
