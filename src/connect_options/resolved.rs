//! Settings become decisions: which login, which TLS, and whether it can work at all.

use std::time::Duration;

use super::ConnectOptions;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::engine::{Address, Engine, OptionsOf, Tls, has_password};
use crate::error::ConfigError;
use crate::limiter::ConnectLimiter;
use crate::login::SharedLoginProvider;
use crate::login::cache::LoginCache;
use crate::url::Auth;

/// How long before its expiry a login is replaced.
const MARGIN: Duration = Duration::from_secs(60);

/// Options in which everything is decided.
pub(crate) struct Resolved<DB: Engine> {
    pub(crate) options: OptionsOf<DB>,
    /// Nothing where each login tells it.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) logins: Option<LoginCache>,
    pub(crate) clock: Clock,
    pub(crate) connect_timeout: Duration,
    pub(crate) verify_writer: bool,
    pub(crate) is_proxy: bool,
    pub(crate) is_dsql: bool,
    pub(crate) idle_session_timeout: Option<Duration>,
    pub(crate) full_backoff: Backoff,
    pub(crate) limiter: ConnectLimiter,
}

impl<DB: Engine> ConnectOptions<DB> {
    /// Checks everything that can be checked without connecting.
    pub(crate) fn resolve(self) -> Result<Resolved<DB>, ConfigError> {
        let Address { host, port, socket } = DB::address(&self.options);
        let is_secret = self.provider.is_none()
            && self
                .auth
                .map_or(self.secret_id.is_some(), |auth| auth == Auth::Secret);
        let endpoint = if is_secret && !self.has_host {
            None
        } else {
            Some(Endpoint::new(
                if socket { "localhost" } else { host },
                port,
            )?)
        };
        let provider = match &endpoint {
            _ if is_secret => Some(self.checked_secret_provider(endpoint.as_ref())?),
            Some(endpoint) => self.provider(endpoint)?,
            None => None,
        };
        if self.quota.as_ref().is_some_and(|quota| quota.max() == 0) {
            return Err(ConfigError::OutOfRange {
                setting: "max_connections",
                given: "0".to_owned(),
                instead: "how many connections all pools may hold together, 1 or more",
            });
        }

        let named = match &self.sign_host {
            Some(signed) => Some(Endpoint::new(signed, port)?),
            None => endpoint.clone(),
        };
        let is_proxy = self.check_proxy(named.as_ref())?;
        let is_dsql = named.is_some_and(|endpoint| endpoint.is_dsql());
        self.check_pgbouncer()?;
        let mut options = self.through_pgbouncer(self.through_proxy(self.options.clone()));
        if provider.is_some() {
            options = DB::send_in_clear(self.protect(options, endpoint.as_ref(), socket)?);
        }
        if let Some(roots) = &self.roots {
            let by_name = endpoint.as_ref().and_then(Endpoint::region);
            let region = self.region.as_deref().or(by_name);
            options = DB::trust(options, roots.load(region)?);
        }
        let clock = self.clock;
        let logins = provider.map(|provider| LoginCache::new(provider, clock.clone(), MARGIN));
        Ok(Resolved {
            options,
            endpoint,
            logins,
            clock,
            connect_timeout: self.connect_timeout,
            verify_writer: self.verify_writer,
            is_proxy,
            is_dsql,
            idle_session_timeout: self.idle_session_timeout,
            full_backoff: self.full_backoff,
            limiter: ConnectLimiter::new(self.max_connecting, self.max_connects_per_second),
        })
    }

    /// The source of logins, or nothing where sqlx's own options hold all there is.
    fn provider(&self, endpoint: &Endpoint) -> Result<Option<SharedLoginProvider>, ConfigError> {
        if let Some(provider) = &self.provider {
            if self.secret_id.is_some() {
                return Err(ConfigError::Conflict(
                    "a source of logins is given, and a secret; leave one of them out",
                ));
            }
            if self.has_password_in_url {
                return Err(ConfigError::Conflict(
                    "a source of logins is given, and the URL has a password; leave one of them out",
                ));
            }
            return Ok(Some(provider.clone()));
        }
        if self.secret_id.is_some() {
            return Err(ConfigError::Conflict(
                "a secret is named, and `auth` asks for another login; leave one of them out",
            ));
        }
        let signs = self.sign_host.is_some() || self.sign_port.is_some();
        let iam = match self.auth {
            Some(auth) => auth == Auth::Iam,
            None => {
                (endpoint.is_rds() || endpoint.is_dsql() || signs) && !self.password_is_given()?
            }
        };
        if iam && self.has_password_in_url {
            return Err(ConfigError::Conflict(
                "IAM is asked for and the URL has a password; leave one of them out",
            ));
        }
        if !iam && signs && self.auth.is_none() {
            return Err(ConfigError::Conflict(
                "a host to sign tokens for is given, and a password to log in with; leave one of \
                 them out",
            ));
        }
        if iam {
            self.iam_provider(endpoint).map(Some)
        } else {
            Ok(None)
        }
    }

    fn checked_secret_provider(
        &self,
        endpoint: Option<&Endpoint>,
    ) -> Result<SharedLoginProvider, ConfigError> {
        if self.has_password_in_url {
            return Err(ConfigError::Conflict(
                "a secret is asked for, and the URL has a password; leave one of them out",
            ));
        }
        if self.sign_host.is_some() || self.sign_port.is_some() {
            return Err(ConfigError::Conflict(
                "a host to sign tokens for is given, and a secret to log in with; leave one of them \
                 out",
            ));
        }
        self.secret_provider(endpoint)
    }

    fn password_is_given(&self) -> Result<bool, ConfigError> {
        self.has_password
            .or_else(|| has_password::<DB>(&self.options))
            .ok_or(ConfigError::Conflict(
                "it cannot be told whether these options hold a password; say which login is \
                 meant, by `.iam()` or `.password()`",
            ))
    }

    /// Sees to it that only the right server can ask for the login, unless nothing travels.
    fn protect(
        &self,
        options: OptionsOf<DB>,
        endpoint: Option<&Endpoint>,
        socket: bool,
    ) -> Result<OptionsOf<DB>, ConfigError> {
        match DB::tls(&options) {
            Tls::Verified => Ok(options),
            _ if socket && endpoint.is_some() => Ok(options),
            Tls::Default if !self.has_tls_mode => Ok(DB::verify_tls(options)),
            _ if endpoint.is_some_and(Endpoint::is_loopback) => Ok(options),
            _ => Err(ConfigError::UnverifiedTls {
                mode: DB::tls_mode(&options),
                instead: DB::VERIFIED_TLS,
            }),
        }
    }
}
