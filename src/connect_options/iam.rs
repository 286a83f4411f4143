//! What an IAM login needs to know, all of it given or read off the host, none of it guessed.

use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use crate::connect_options::ConnectOptions;
use crate::endpoint::{Endpoint, is_region};
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::login::SharedLoginProvider;
use crate::login::credentials::{CredentialsCache, default_provider};
use crate::login::iam::IamLoginProvider;
use crate::sign::{MAX_TOKEN_LIFETIME, Service, TokenRequest};

/// Where AWS credentials come from, if that is said.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Option<SharedCredentialsProvider>);

impl Credentials {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    #[cfg(feature = "secrets-manager")]
    pub(super) fn given(&self) -> Option<SharedCredentialsProvider> {
        self.0.clone()
    }
}

impl<DB: Engine> ConnectOptions<DB> {
    /// Where AWS credentials come from. They are kept until shortly before they expire.
    ///
    /// Default: the AWS SDK's chain with the feature `aws-config`, else
    /// [`EnvironmentCredentialsProvider`](crate::EnvironmentCredentialsProvider).
    #[must_use]
    pub fn credentials_provider(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.credentials = Credentials(Some(SharedCredentialsProvider::new(provider)));
        self
    }

    pub(super) fn iam_provider(
        &self,
        endpoint: &Endpoint,
    ) -> Result<SharedLoginProvider, ConfigError> {
        let request = self.token_request(endpoint)?;
        let provider = self.credentials.0.clone().unwrap_or_else(default_provider);
        let credentials = CredentialsCache::new(provider, self.clock.clone());
        let iam = IamLoginProvider::new(request, credentials, self.clock.clone());
        Ok(SharedLoginProvider::new(iam))
    }

    fn token_request(&self, endpoint: &Endpoint) -> Result<TokenRequest, ConfigError> {
        let username = DB::username(&self.options);
        if username.is_empty() || !self.has_username {
            return Err(ConfigError::EmptyUsername);
        }
        let valid_for = self.token_lifetime;
        if valid_for < Duration::from_secs(1)
            || valid_for > MAX_TOKEN_LIFETIME
            || valid_for.subsec_nanos() != 0
        {
            return Err(ConfigError::TokenLifetime { given: valid_for });
        }
        let signed = Endpoint::new(
            self.sign_host.as_deref().unwrap_or(endpoint.host()),
            self.sign_port.unwrap_or(endpoint.port()),
        )?;
        let region = self.signing_region(&signed)?;
        Ok(TokenRequest {
            service: Service::of(&signed),
            endpoint: signed,
            username: username.to_owned(),
            region,
            valid_for,
        })
    }

    fn signing_region(&self, signed: &Endpoint) -> Result<String, ConfigError> {
        match (self.region.as_deref(), signed.region()) {
            (Some(given), _) if !is_region(given) => Err(ConfigError::InvalidRegion {
                given: given.to_owned(),
            }),
            (Some(given), Some(host)) if given != host => Err(ConfigError::RegionMismatch {
                given: given.to_owned(),
                host: host.to_owned(),
            }),
            (Some(region), _) | (None, Some(region)) => Ok(region.to_owned()),
            (None, None) => Err(ConfigError::MissingRegion {
                host: signed.host().to_owned(),
            }),
        }
    }
}
