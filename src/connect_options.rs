//! What a connection needs to know: sqlx's connect options, and where its logins come from.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::cap::Cap;
use crate::clock::Clock;
use crate::engine::{Address, Engine, OptionsOf, has_password};
use crate::error::ConfigError;
use crate::login::{ProvideLogin, SharedLoginProvider};
use crate::quota::Quota;
use crate::tls::RootCertificates;
use crate::url::{self, Auth};

#[cfg(feature = "iam")]
mod iam;
#[cfg(not(feature = "iam"))]
#[path = "connect_options/no_iam.rs"]
mod iam;
mod limits;
mod pgbouncer;
mod proxy;
mod resolved;
#[cfg(feature = "secrets-agent")]
mod secret;
#[cfg(not(feature = "secrets-agent"))]
#[path = "connect_options/no_secret.rs"]
mod secret;

pub(crate) use self::resolved::Resolved;

/// Between attempts to reach a server that is starting, recovering or full.
pub(crate) const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(50),
    max: Duration::from_secs(2),
};

/// sqlx's connect options plus the source of logins.
///
/// Made from a URL, from sqlx's own options, or from the environment:
///
/// ```
/// # #[cfg(feature = "postgres")] {
/// use sqlx::postgres::PgConnectOptions;
/// use sqlx_rds::ConnectOptions;
///
/// // The RDS host and the missing password ask for IAM.
/// let options: ConnectOptions<sqlx::Postgres> =
///     "postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders".parse()?;
///
/// // An alias needs the RDS endpoint beside it: the token is signed for that one.
/// let options = ConnectOptions::from(PgConnectOptions::new().host("db.example.com").username("app"))
///     .iam()
///     .sign_host("orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com");
/// # }
/// # Ok::<(), sqlx_rds::ConfigError>(())
/// ```
///
/// Which login is used: a source given by [`login_provider`](Self::login_provider); else IAM, a
/// secret or the password as `auth` or [`iam`](Self::iam) says, a `secret-id` being enough; else IAM when the host is a name of RDS or
/// Aurora DSQL, or a [`sign_host`](Self::sign_host) is given, and no password is (in the URL or as `PGPASSWORD`); else
/// the password, or none, as in sqlx. Region, lifetime and AWS credentials matter to IAM only.
pub struct ConnectOptions<DB: Engine> {
    pub(crate) options: OptionsOf<DB>,
    pub(crate) auth: Option<Auth>,
    pub(crate) provider: Option<SharedLoginProvider>,
    pub(crate) region: Option<String>,
    pub(crate) secret_id: Option<String>,
    pub(crate) sign_host: Option<String>,
    pub(crate) sign_port: Option<u16>,
    pub(crate) token_lifetime: Duration,
    pub(crate) roots: Option<RootCertificates>,
    pub(crate) clock: Clock,
    pub(crate) connect_timeout: Duration,
    pub(crate) verify_writer: bool,
    /// By the preset. A host can be a proxy's by its name too.
    pub(crate) rds_proxy: bool,
    /// PgBouncer's `max_prepared_statements`, where one is dialled.
    pub(crate) pgbouncer: Option<u32>,
    pub(crate) idle_session_timeout: Option<Duration>,
    /// Between attempts to reach a server that is full.
    pub(crate) full_backoff: Backoff,
    pub(crate) quota: Option<Quota>,
    pub(crate) max_connecting: Option<NonZeroU32>,
    pub(crate) max_connects_per_second: Option<NonZeroU32>,
    /// Unknown for options that sqlx built.
    has_password: Option<bool>,
    has_password_in_url: bool,
    has_username: bool,
    has_username_in_url: bool,
    /// Whether the host is said; without, it is the secret's.
    has_host: bool,
    has_tls_mode: bool,
    #[cfg_attr(
        not(feature = "iam"),
        allow(dead_code, reason = "it holds nothing then")
    )]
    credentials: iam::Credentials,
    #[cfg_attr(
        not(feature = "secrets-agent"),
        allow(dead_code, reason = "it holds nothing then")
    )]
    secrets: secret::Secrets,
}

impl<DB: Engine> ConnectOptions<DB> {
    /// Reads `DATABASE_URL`, or, for PostgreSQL where that is not set, libpq's variables: `PGHOST`,
    /// `PGPORT`, `PGUSER`, `PGDATABASE`, `PGPASSWORD` (or a password file), `PGSSLMODE` and
    /// `PGSSLROOTCERT`. Beside those, `SQLX_RDS_AUTH`, `SQLX_RDS_REGION`, `SQLX_RDS_SIGN_HOST` and
    /// `SQLX_RDS_SECRET_ID` stand for the URL's parameters `auth`, `region`, `sign-host` and
    /// `secret-id`.
    ///
    /// # Errors
    ///
    /// As for a URL, and [`ConfigError::Conflict`] where neither is set.
    pub fn from_env() -> Result<Self, ConfigError> {
        if let Ok(url) = std::env::var("DATABASE_URL") {
            return url.parse();
        }
        match DB::options_from_env() {
            Some(options) if is_set("PGHOST") || is_set("PGHOSTADDR") => {
                let mut this = Self::new(options, Some(is_set(DB::PASSWORD_VARIABLE)));
                this.has_username = is_set(DB::USERNAME_VARIABLE);
                this.has_tls_mode = is_set("PGSSLMODE");
                this.roots = std::env::var_os("PGSSLROOTCERT")
                    .map(|path| RootCertificates::Path(path.into()));
                let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
                this.auth = given("SQLX_RDS_AUTH").map(url::parse_auth).transpose()?;
                this.region = given("SQLX_RDS_REGION");
                this.secret_id = given("SQLX_RDS_SECRET_ID");
                this.sign_at(
                    given("SQLX_RDS_SIGN_HOST")
                        .as_deref()
                        .map(url::parse_sign_host)
                        .transpose()?,
                );
                Ok(this)
            }
            _ => Err(ConfigError::Conflict(
                "no database is named in the environment; set DATABASE_URL, or PGHOST and PGUSER \
                 for PostgreSQL",
            )),
        }
    }

    fn new(options: OptionsOf<DB>, has_password: Option<bool>) -> Self {
        Self {
            options,
            auth: None,
            provider: None,
            region: None,
            secret_id: None,
            sign_host: None,
            sign_port: None,
            token_lifetime: Duration::from_secs(900),
            roots: None,
            clock: Clock::system(),
            connect_timeout: Duration::from_secs(30),
            verify_writer: false,
            rds_proxy: false,
            pgbouncer: None,
            idle_session_timeout: None,
            full_backoff: BACKOFF,
            quota: None,
            max_connecting: Some(Cap::of(|name| std::env::var(name).ok()).max_connecting),
            max_connects_per_second: NonZeroU32::new(20),
            has_password,
            has_password_in_url: false,
            has_username: true,
            has_username_in_url: false,
            has_host: true,
            has_tls_mode: false,
            credentials: iam::Credentials::none(),
            secrets: secret::Secrets::default(),
        }
    }

    fn sign_at(&mut self, given: Option<(String, Option<u16>)>) {
        if let Some((host, port)) = given {
            self.sign_host = Some(host);
            self.sign_port = port;
        }
    }

    /// Changes sqlx's own options, as in `.map(|options| options.application_name("api"))`.
    #[must_use]
    pub fn map(mut self, change: impl FnOnce(OptionsOf<DB>) -> OptionsOf<DB>) -> Self {
        let before = self.options.clone();
        self.options = change(self.options);
        // What was remembered of a URL is forgotten where it was changed.
        self.has_host |= DB::address(&before).host != DB::address(&self.options).host;
        self.has_username |= DB::username(&before) != DB::username(&self.options);
        self.has_tls_mode |= DB::tls_mode(&before) != DB::tls_mode(&self.options);
        let has = has_password::<DB>(&self.options);
        if has != has_password::<DB>(&before) {
            self.has_password = has;
        }
        self
    }

    /// Logs in with IAM tokens, whatever the host is called.
    #[must_use]
    pub fn iam(mut self) -> Self {
        self.auth = Some(Auth::Iam);
        self
    }

    /// Logs in with the password in sqlx's options, even at an RDS host.
    #[must_use]
    pub fn password(mut self) -> Self {
        self.auth = Some(Auth::Password);
        self
    }

    /// Takes logins from a source of your own; see [`ProvideLogin`].
    #[must_use]
    pub fn login_provider(mut self, provider: impl ProvideLogin) -> Self {
        self.provider = Some(SharedLoginProvider::new(provider));
        self
    }

    /// The AWS region to sign tokens for. Default: the one in the host name; there is no other.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The RDS endpoint to sign tokens for, where an alias or a tunnel is dialled.
    /// Default: the host that is dialled.
    #[must_use]
    pub fn sign_host(mut self, host: impl Into<String>) -> Self {
        self.sign_host = Some(host.into());
        self
    }

    /// The port to sign tokens for. Default: the port that is dialled.
    #[must_use]
    pub fn sign_port(mut self, port: u16) -> Self {
        self.sign_port = Some(port);
        self
    }

    /// How long a token lives: whole seconds from 1 s to 900 s, the default.
    ///
    /// A token is replaced 60 s before it expires, or after half its life if that is shorter.
    #[must_use]
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// Root certificates to trust beside the public ones. Checked when the pool is built.
    #[must_use]
    pub fn root_certificates(mut self, roots: RootCertificates) -> Self {
        self.roots = Some(roots);
        self
    }

    /// How long one connect may take, with all its attempts. Default: 30 s.
    ///
    /// While a server starts, recovers or is full, a connect tries again with full jitter until
    /// this time, or the pool's `acquire_timeout`, is over; then it fails with the last error.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether to ask a server that it takes writes: when a connection is opened, and again once a
    /// second where it is used on. Default: `false`. In a URL: `verify-writer=true`.
    ///
    /// After a failover a stale name can still lead to the former writer, and connections to it may
    /// live on: pings pass and writes fail. With this, a connect that meets a reader waits, with
    /// full jitter, until its deadline and then fails with [`NotWriter`](crate::NotWriter); a
    /// connection whose server has become a reader is dropped, and all others with it. Without it,
    /// a pool learns of a demotion by the first statement straight on it that fails.
    ///
    /// It costs a round trip each time. Leave it off for reader endpoints, and for sessions that
    /// are read-only by their own settings (`default_transaction_read_only`).
    #[must_use]
    pub fn verify_writer(mut self, verify: bool) -> Self {
        self.verify_writer = verify;
        self
    }

    /// The clock that expiry and age are judged by, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl<DB: Engine> FromStr for ConnectOptions<DB> {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let url = url::parse::<DB>(text)?;
        let has_password = url.has_password || is_set(DB::PASSWORD_VARIABLE);
        let mut this = Self::new(url.options, Some(has_password));
        this.has_password_in_url = url.has_password;
        this.auth = url.auth;
        this.region = url.region;
        this.secret_id = url.secret_id;
        this.has_host = url.has_host || is_set(DB::HOST_VARIABLE);
        this.has_username_in_url = url.has_username;
        this.sign_at(url.sign_host);
        this.roots = url.roots;
        this.verify_writer = url.verify_writer;
        this.has_username = url.has_username || is_set(DB::USERNAME_VARIABLE);
        this.has_tls_mode = url.has_tls_mode;
        Ok(this)
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::postgres::PgConnectOptions> for ConnectOptions<sqlx::Postgres> {
    fn from(options: sqlx::postgres::PgConnectOptions) -> Self {
        Self::new(options, None)
    }
}

#[cfg(feature = "mysql")]
impl From<sqlx::mysql::MySqlConnectOptions> for ConnectOptions<sqlx::MySql> {
    fn from(options: sqlx::mysql::MySqlConnectOptions) -> Self {
        Self::new(options, None)
    }
}

impl<DB: Engine> Clone for ConnectOptions<DB> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            provider: self.provider.clone(),
            region: self.region.clone(),
            secret_id: self.secret_id.clone(),
            secrets: self.secrets.clone(),
            sign_host: self.sign_host.clone(),
            roots: self.roots.clone(),
            clock: self.clock.clone(),
            quota: self.quota.clone(),
            credentials: self.credentials.clone(),
            ..*self
        }
    }
}

/// Shows where a connection goes and who logs in; sqlx's own options would show the password.
impl<DB: Engine> fmt::Debug for ConnectOptions<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port, socket } = DB::address(&self.options);
        f.debug_struct("ConnectOptions")
            .field("host", &host)
            .field("port", &port)
            .field("socket", &socket)
            .field("username", &DB::username(&self.options))
            .field("auth", &self.auth)
            .field("region", &self.region)
            .field("secret_id", &self.secret_id)
            .field("sign_host", &self.sign_host)
            .field("sign_port", &self.sign_port)
            .finish_non_exhaustive()
    }
}

fn is_set(variable: &str) -> bool {
    !variable.is_empty() && std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}
