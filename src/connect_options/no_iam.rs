//! The answer to those who ask for an IAM login in a build without it.

use crate::connect_options::ConnectOptions;
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::login::SharedLoginProvider;

/// No AWS credentials are needed.
#[derive(Clone, Debug)]
pub(crate) struct Credentials;

impl Credentials {
    pub(crate) fn none() -> Self {
        Self
    }
}

impl<DB: Engine> ConnectOptions<DB> {
    pub(super) fn iam_provider(&self, _: &Endpoint) -> Result<SharedLoginProvider, ConfigError> {
        Err(ConfigError::MissingFeature {
            what: "a login by IAM",
            feature: "iam",
        })
    }
}
