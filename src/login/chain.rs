//! AWS credentials from the AWS SDK's default chain.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::provider::{ProvideCredentials, future};
use tokio::sync::OnceCell;

use super::environment::EnvironmentCredentialsProvider;

/// The AWS SDK's default chain: environment, profile, web identity, ECS, EKS, EC2.
///
/// It is put together at its first use, since that reads files, and settings are made outside async
/// code.
#[derive(Debug, Default)]
pub(crate) struct ChainCredentialsProvider(OnceCell<DefaultCredentialsChain>);

impl ProvideCredentials for ChainCredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            // So does the chain, after it has put an HTTP client together, which costs a cold start.
            if let Ok(found) = EnvironmentCredentialsProvider.provide_credentials().await {
                return Ok(found);
            }
            let chain = self
                .0
                .get_or_init(|| DefaultCredentialsChain::builder().build())
                .await;
            chain.provide_credentials().await
        })
    }
}
