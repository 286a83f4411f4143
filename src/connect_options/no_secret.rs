//! The answer to those who ask for a login by secret in a build without it.

use crate::connect_options::ConnectOptions;
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::login::SharedLoginProvider;

/// No secrets are read.
#[derive(Clone, Debug)]
pub(crate) struct Secrets;

impl Secrets {
    pub(crate) fn default() -> Self {
        Self
    }
}

impl<DB: Engine> ConnectOptions<DB> {
    pub(super) fn secret_provider(
        &self,
        _: Option<&Endpoint>,
    ) -> Result<SharedLoginProvider, ConfigError> {
        Err(ConfigError::MissingFeature {
            what: "a login by secret",
            feature: "secrets-manager` or `secrets-agent",
        })
    }
}
