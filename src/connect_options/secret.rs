//! What a login by secret needs to know.

use std::time::Duration;

use crate::connect_options::ConnectOptions;
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::login::SharedLoginProvider;
use crate::login::secret::{SecretLoginProvider, SecretSource};
use crate::url::Auth;

/// Where secrets are read, if that is said, and for how long they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    source: Option<SecretSource>,
    ttl: Duration,
}

impl Secrets {
    pub(crate) fn default() -> Self {
        Self {
            source: None,
            ttl: Duration::from_secs(600),
        }
    }
}

impl<DB: Engine> ConnectOptions<DB> {
    /// Logs in with the user and password of a secret in AWS Secrets Manager, by its name or ARN. In
    /// a URL: `auth=secret&secret-id=orders/app`.
    ///
    /// The secret is a JSON object with `username` and `password`, as RDS and AWS's rotation
    /// functions write it. Host, port and database that the URL leaves out are taken from it; where
    /// its `ssl` is false, it is refused. While a rotation is under way the version `AWSPENDING` is
    /// tried too, and then the end of the rotation is waited for, until the connect's deadline.
    ///
    /// It is read by the AWS SDK with the feature `secrets-manager`, else from a [`SecretsAgent`];
    /// see [`secret_source`](Self::secret_source).
    ///
    /// [`SecretsAgent`]: crate::SecretsAgent
    #[must_use]
    pub fn secret(mut self, id: impl Into<String>) -> Self {
        self.auth = Some(Auth::Secret);
        self.secret_id = Some(id.into());
        self
    }

    /// Where the secret is read: a [`SecretsAgent`](crate::SecretsAgent), or a client of the AWS SDK.
    #[must_use]
    pub fn secret_source(mut self, source: impl Into<SecretSource>) -> Self {
        self.secrets.source = Some(source.into());
        self
    }

    /// How long a secret is used before it is read again, less up to a half, drawn anew each time.
    /// Default: 10 min, so 5 to 10 min. At least 1 s.
    ///
    /// It is read by the next connect. Where that fails, or takes longer than 2 s, the old one is
    /// used on; where the server refuses it, it is read at once, whatever its age.
    #[must_use]
    pub fn secret_ttl(mut self, ttl: Duration) -> Self {
        self.secrets.ttl = ttl;
        self
    }

    pub(super) fn secret_provider(
        &self,
        endpoint: Option<&Endpoint>,
    ) -> Result<SharedLoginProvider, ConfigError> {
        let Some(id) = self.secret_id.clone().filter(|id| !id.is_empty()) else {
            return Err(ConfigError::Conflict(
                "a login by secret is asked for, and no secret is named; write \
                 `auth=secret&secret-id=NAME`, with its name or ARN",
            ));
        };
        if self.secrets.ttl < Duration::from_secs(1) {
            return Err(ConfigError::OutOfRange {
                setting: "secret_ttl",
                given: format!("{:?}", self.secrets.ttl),
                instead: "1 s or more; 10 min is the default",
            });
        }
        if self.has_username_in_url {
            return Err(ConfigError::Conflict(
                "the user comes from the secret, with the password; leave it out of the URL, as in \
                 `postgres://host/orders?auth=secret&secret-id=NAME`",
            ));
        }
        let source = match &self.secrets.source {
            Some(source) => source.clone(),
            None => self.default_secret_source(&id),
        };
        let (ttl, clock) = (self.secrets.ttl, self.clock.clone());
        let mut provider = SecretLoginProvider::new(source, id, ttl, clock, DB::SYSTEM);
        provider.takes_endpoint = endpoint.is_none();
        provider.takes_database = DB::database_of(&self.options).is_none();
        Ok(SharedLoginProvider::new(provider))
    }

    #[cfg(not(feature = "secrets-manager"))]
    fn default_secret_source(&self, _: &str) -> SecretSource {
        crate::login::secret::SecretsAgent::new().into()
    }

    #[cfg(feature = "secrets-manager")]
    fn default_secret_source(&self, id: &str) -> SecretSource {
        use crate::login::secret::SecretsManager;

        // An ARN tells its region: arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME.
        let in_arn = id
            .strip_prefix("arn:")
            .and_then(|arn| arn.split(':').nth(2));
        let region = in_arn.map(str::to_owned).or_else(|| self.region.clone());
        SecretSource::sdk(SecretsManager::new(region, self.credentials.given()))
    }
}
