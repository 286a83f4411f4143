//! AWS Secrets Manager by the AWS SDK.

use std::error::Error;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::source::{Stage, Stored};
use crate::error::LoginError;

/// A client, put together at its first use: that reads files, and settings are made outside async
/// code.
pub(crate) struct SecretsManager {
    client: OnceCell<Client>,
    region: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
}

impl SecretsManager {
    /// By the SDK's own settings (`AWS_ENDPOINT_URL_SECRETS_MANAGER` and the like), but for what is
    /// given here.
    pub(crate) fn new(
        region: Option<String>,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Self {
        Self {
            client: OnceCell::new(),
            region,
            credentials,
        }
    }

    pub(super) fn of(client: Client) -> Self {
        Self {
            client: OnceCell::new_with(Some(client)),
            region: None,
            credentials: None,
        }
    }

    pub(super) async fn read(&self, id: &str, stage: Stage) -> Result<Option<Stored>, LoginError> {
        let client = self.client.get_or_init(|| self.connect()).await;
        let request = client.get_secret_value().secret_id(id);
        // Without a stage it is the current version, and a policy on stages has nothing to say.
        let request = match stage {
            Stage::Current => request,
            Stage::Pending => request.version_stage(stage.label()),
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let code = error.code().unwrap_or_default();
                if stage == Stage::Pending && code == "ResourceNotFoundException" {
                    return Ok(None);
                }
                let message = format!("Secrets Manager gave no secret{}", advice(code));
                return Err(LoginError::new(message).with_source(in_words(&error)));
            }
        };
        match (answer.secret_string, answer.version_id) {
            (Some(text), Some(version)) => Ok(Some(Stored {
                version,
                text: Zeroizing::new(text),
            })),
            _ => Err(LoginError::new(
                "the secret is binary; store it as text, as {\"username\": .., \"password\": ..}",
            )),
        }
    }

    async fn connect(&self) -> Client {
        let mut settings = aws_config::defaults(aws_config::BehaviorVersion::latest());
        if let Some(region) = &self.region {
            settings = settings.region(aws_config::Region::new(region.clone()));
        }
        if let Some(credentials) = &self.credentials {
            settings = settings.credentials_provider(credentials.clone());
        }
        Client::new(&settings.load().await)
    }
}

/// The SDK's error without what it can debug: an answer that it could not read may hold the secret.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Some of these codes are no variants of the SDK's error, so they are told by their text.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => {
            "; allow `secretsmanager:GetSecretValue` on it, and `kms:Decrypt` on its key"
        }
        "DecryptionFailure" => "; its KMS key cannot be used: see that it is enabled",
        "ResourceNotFoundException" => "; no secret has this id in this region",
        "InvalidRequestException" => "; it may be scheduled for deletion",
        _ => "",
    }
}
