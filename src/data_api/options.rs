//! Where the Data API leads, and how it is called.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use log::LevelFilter;
use sqlx_core::Error;
use sqlx_core::connection::{ConnectOptions, LogSettings};
use url::{Url, form_urlencoded};

use super::client::{Client, ClientSettings};
use super::{DataApiConnection, DataApiEngine};
#[cfg(feature = "idempotency")]
use crate::budget::Budget;
use crate::error::ConfigError;

/// The cluster, the secret of its user, and the database.
///
/// As a URL: `rds-data://CLUSTER_ARN/DATABASE?secret-arn=SECRET_ARN`, with `region` where it is not
/// the ARN's and `endpoint` for a stand-in. `rds-data:///DATABASE?resource-arn=..` is the same.
///
/// What goes by [`Url`], such as [`ConnectOptions::from_url`], takes the colons of the first ARN for
/// a port's: there it is `rds-data:///DATABASE?resource-arn=..`, or each colon is written `%3A`.
/// A `+` stands for itself everywhere, since ARNs may have it.
pub struct DataApiConnectOptions<E> {
    pub(crate) target: Target,
    settings: ClientSettings,
    /// Made once for all connections of a pool, whose options are clones of one.
    client: Arc<OnceLock<Arc<Client>>>,
    pub(crate) log: LogSettings,
    engine: PhantomData<E>,
}

/// What each call names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) resource_arn: String,
    pub(crate) secret_arn: String,
    pub(crate) database: Option<String>,
}

impl<E: DataApiEngine> DataApiConnectOptions<E> {
    /// A cluster and a secret by their ARNs; the secret may be named.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>, secret_arn: impl Into<String>) -> Self {
        Self {
            target: Target {
                resource_arn: resource_arn.into(),
                secret_arn: secret_arn.into(),
                database: None,
            },
            settings: ClientSettings {
                timeout: Duration::from_secs(60),
                ..ClientSettings::default()
            },
            client: Arc::default(),
            log: LogSettings::default(),
            engine: PhantomData,
        }
    }

    /// From `DATABASE_URL`, or from `SQLX_RDS_RESOURCE_ARN`, `SQLX_RDS_SECRET_ARN` and
    /// `SQLX_RDS_DATABASE`.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] around a [`ConfigError`] where a variable is missing.
    pub fn from_env() -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(url) = variable("DATABASE_URL") {
            return url.parse();
        }
        match (
            variable("SQLX_RDS_RESOURCE_ARN"),
            variable("SQLX_RDS_SECRET_ARN"),
        ) {
            (Some(resource), Some(secret)) => {
                let mut options = Self::new(resource, secret);
                options.target.database = variable("SQLX_RDS_DATABASE");
                options.check()?;
                Ok(options)
            }
            _ => Err(ConfigError::Conflict(
                "no cluster is named; set DATABASE_URL to `rds-data://CLUSTER_ARN/DATABASE\
                 ?secret-arn=SECRET_ARN`, or SQLX_RDS_RESOURCE_ARN and SQLX_RDS_SECRET_ARN",
            )
            .into()),
        }
    }

    /// The database. Default: the server's own for the user.
    #[must_use]
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.target.database = Some(name.into());
        self
    }

    /// The region. Default: that of a [`client`](Self::client) that is given, or the cluster ARN's.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        self.with(|settings| settings.region = Some(region.into()))
    }

    /// AWS credentials. Default: those of a [`client`](Self::client) that is given, or the AWS SDK's
    /// chain.
    #[must_use]
    pub fn credentials_provider(self, provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        self.with(|settings| settings.credentials = Some(provider))
    }

    /// Another endpoint than AWS's. Default: `AWS_ENDPOINT_URL_RDS_DATA`, where it is set.
    #[must_use]
    pub fn endpoint_url(self, url: impl Into<String>) -> Self {
        self.with(|settings| settings.endpoint = Some(url.into()))
    }

    /// A client of the AWS SDK, with settings of its own where these options have none.
    ///
    /// Its retries are switched off: they write rows twice.
    /// Its HTTP client is left as it is, with connections that may have been closed in a freeze.
    #[must_use]
    pub fn client(self, client: aws_sdk_rdsdata::Client) -> Self {
        self.with(|settings| settings.given = Some(client))
    }

    /// How long a call may take, with all its attempts. Default: 60 s: a statement may run for 45 s,
    /// and a database that was paused needs 15 s to 30 s to wake up.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.timeout = timeout)
    }

    fn with(mut self, change: impl FnOnce(&mut ClientSettings)) -> Self {
        change(&mut self.settings);
        self.client = Arc::default();
        self
    }

    /// What retries of units of work may cost.
    #[cfg(feature = "idempotency")]
    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(self.shared_client().budget())
    }

    /// The one that connections made of these options and their clones share.
    pub(crate) fn shared_client(&self) -> &Arc<Client> {
        self.client.get_or_init(|| {
            let mut settings = self.settings.clone();
            // The region of a client that was given is its own.
            let theirs = settings
                .given
                .as_ref()
                .and_then(|sdk| sdk.config().region());
            if settings.region.is_none() && theirs.is_none() {
                settings.region = self.region_of_arn();
            }
            Arc::new(Client::new(settings))
        })
    }

    /// By the service's own rules for the members of a request.
    fn check(&self) -> Result<(), ConfigError> {
        let Target {
            resource_arn,
            secret_arn,
            database,
        } = &self.target;
        if !resource_arn.starts_with("arn:") || !(11..=570).contains(&resource_arn.len()) {
            return Err(ConfigError::Conflict(
                "the cluster is named by its ARN, as in `rds-data://arn:aws:rds:eu-west-1:\
                 123456789012:cluster:orders/orders?secret-arn=..`",
            ));
        }
        if secret_arn.is_empty() {
            return Err(ConfigError::Conflict(
                "the Data API logs in with a secret; write `?secret-arn=`, with its ARN",
            ));
        }
        if database
            .as_ref()
            .is_some_and(|name| name.chars().count() > 64)
        {
            return Err(ConfigError::OutOfRange {
                setting: "database",
                given: "a name of more than 64 characters".to_owned(),
                instead: "the database's name",
            });
        }
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let unfit = |reason: &str| ConfigError::Url {
            reason: reason.to_owned(),
        };
        let rest = text.strip_prefix("rds-data://").ok_or_else(|| {
            unfit("it does not begin with `rds-data://`, as in `rds-data://CLUSTER_ARN/DATABASE?secret-arn=SECRET_ARN`")
        })?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (arn, database) = place.split_once('/').unwrap_or((place, ""));
        let mut options = Self::new(percent_decoded(arn), "");
        if !database.is_empty() {
            options.target.database = Some(percent_decoded(database));
        }
        for (key, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            let value = value.into_owned();
            if value.is_empty() {
                return Err(unfit(&format!(
                    "`{key}` is empty; give it, or leave it out"
                )));
            }
            match &*key {
                "resource-arn" => options.target.resource_arn = value,
                "secret-arn" => options.target.secret_arn = value,
                "region" => options.settings.region = Some(value),
                "endpoint" => options.settings.endpoint = Some(value),
                _ => {
                    return Err(unfit(&format!(
                        "`{key}` is not known; there are `secret-arn`, `resource-arn`, `region` \
                         and `endpoint`"
                    )));
                }
            }
        }
        options.check()?;
        Ok(options)
    }

    /// The region of a cluster's ARN: `arn:PARTITION:rds:REGION:ACCOUNT:cluster:NAME`.
    fn region_of_arn(&self) -> Option<String> {
        let region = self.target.resource_arn.split(':').nth(3)?;
        Some(region.to_owned()).filter(|region| !region.is_empty())
    }
}

/// A path's text, in which `+`, `&` and `=` stand for themselves, unlike in a query.
fn percent_decoded(text: &str) -> String {
    let text = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map_or(String::new(), |(name, _)| name.into_owned())
}

fn without_login(endpoint: &str) -> String {
    match Url::parse(endpoint) {
        Ok(mut url) if url.authority().contains('@') => {
            // Both are there, or have a place to be.
            let _ = (url.set_username(""), url.set_password(None));
            url.into()
        }
        _ => endpoint.to_owned(),
    }
}

impl<E: DataApiEngine> FromStr for DataApiConnectOptions<E> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Self::parse(text)?)
    }
}

impl<E: DataApiEngine> ConnectOptions for DataApiConnectOptions<E> {
    type Connection = DataApiConnection<E>;

    fn from_url(url: &Url) -> Result<Self, Error> {
        url.as_str().parse()
    }

    /// Without credentials, a client and the timeout, which have no place in it; nor has a login at
    /// the endpoint.
    fn to_url_lossy(&self) -> Url {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("resource-arn", &self.target.resource_arn);
        query.append_pair("secret-arn", &self.target.secret_arn);
        if let Some(region) = &self.settings.region {
            query.append_pair("region", region);
        }
        if let Some(endpoint) = &self.settings.endpoint {
            query.append_pair("endpoint", &without_login(endpoint));
        }
        let database = self.target.database.as_deref().unwrap_or_default();
        let database: String = form_urlencoded::byte_serialize(database.as_bytes()).collect();
        let mut url = Url::parse("rds-data:///").unwrap_or_else(|_| unreachable!());
        // Of a form, in which a blank is a `+`.
        url.set_path(&database.replace('+', "%20"));
        url.set_query(Some(&query.finish().replace('+', "%20")));
        url
    }

    /// Calls nobody: what is wrong is told by the first statement.
    async fn connect(&self) -> Result<DataApiConnection<E>, Error> {
        self.check()?;
        Ok(DataApiConnection::new(
            Arc::clone(self.shared_client()),
            self.target.clone(),
            self.log.clone(),
        ))
    }

    fn log_statements(mut self, level: LevelFilter) -> Self {
        self.log.log_statements(level);
        self
    }

    fn log_slow_statements(mut self, level: LevelFilter, duration: Duration) -> Self {
        self.log.log_slow_statements(level, duration);
        self
    }
}

impl<E> Clone for DataApiConnectOptions<E> {
    fn clone(&self) -> Self {
        Self {
            target: self.target.clone(),
            settings: self.settings.clone(),
            client: Arc::clone(&self.client),
            log: self.log.clone(),
            engine: PhantomData,
        }
    }
}

impl<E> fmt::Debug for DataApiConnectOptions<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiConnectOptions")
            .field("target", &self.target)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
