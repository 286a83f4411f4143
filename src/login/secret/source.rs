//! Where secrets are read.

use std::fmt;
#[cfg(feature = "secrets-manager")]
use std::sync::Arc;

use zeroize::Zeroizing;

use super::SecretsAgent;
#[cfg(feature = "secrets-manager")]
use super::SecretsManager;
use crate::error::LoginError;

/// Where secrets are read: by the AWS SDK, or from an agent on this machine.
///
/// Made from a [`SecretsAgent`], or with the feature `secrets-manager` from a client of the SDK.
#[derive(Clone)]
pub struct SecretSource(Source);

#[derive(Clone)]
enum Source {
    Agent(SecretsAgent),
    #[cfg(feature = "secrets-manager")]
    Sdk(Arc<SecretsManager>),
}

/// Which version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Current,
    Pending,
}

impl Stage {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
        }
    }
}

/// A version of a secret, as it is stored.
pub(crate) struct Stored {
    pub(crate) version: String,
    pub(crate) text: Zeroizing<String>,
}

impl SecretSource {
    #[cfg(feature = "secrets-manager")]
    pub(crate) fn sdk(sdk: SecretsManager) -> Self {
        Self(Source::Sdk(Arc::new(sdk)))
    }

    /// Reads a version, past what a cache on the way holds if `afresh`; nothing where no version
    /// has that label.
    pub(crate) async fn read(
        &self,
        id: &str,
        stage: Stage,
        afresh: bool,
    ) -> Result<Option<Stored>, LoginError> {
        match &self.0 {
            Source::Agent(agent) => agent.read(id, stage, afresh).await,
            // The SDK keeps nothing.
            #[cfg(feature = "secrets-manager")]
            Source::Sdk(sdk) => sdk.read(id, stage).await,
        }
    }
}

impl From<SecretsAgent> for SecretSource {
    fn from(agent: SecretsAgent) -> Self {
        Self(Source::Agent(agent))
    }
}

#[cfg(feature = "secrets-manager")]
impl From<aws_sdk_secretsmanager::Client> for SecretSource {
    fn from(client: aws_sdk_secretsmanager::Client) -> Self {
        Self::sdk(SecretsManager::of(client))
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Agent(agent) => agent.fmt(f),
            #[cfg(feature = "secrets-manager")]
            Source::Sdk(_) => f.write_str("SecretsManager"),
        }
    }
}
