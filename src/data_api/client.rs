//! Calls of the service, and what their errors mean.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
#[cfg(feature = "idempotency")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_rdsdata::Client as Sdk;
use aws_sdk_rdsdata::config::retry::RetryConfig;
use aws_sdk_rdsdata::error::{ProvideErrorMetadata, SdkError};
use futures_core::future::BoxFuture;
use sqlx_core::Error;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use super::answer::Repeatable;
use super::answer::{Answer, understand};
use crate::backoff::Backoff;
#[cfg(feature = "idempotency")]
use crate::budget::Budget;
use crate::telemetry::Tried;
use crate::{deadline, retry};

/// Between attempts; waking a paused database up takes 15 s and more.
const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// What a client is made of, at its first use: that reads files.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    pub(crate) given: Option<Sdk>,
    pub(crate) region: Option<String>,
    pub(crate) credentials: Option<SharedCredentialsProvider>,
    pub(crate) endpoint: Option<String>,
    /// How long a call may take, with all its attempts.
    pub(crate) timeout: Duration,
}

/// The AWS SDK's client, which all connections of one pool share.
pub(crate) struct Client {
    sdk: OnceCell<Sdk>,
    settings: ClientSettings,
    /// For units of work that are run again, as a pool of connections has one.
    #[cfg(feature = "idempotency")]
    budget: Arc<Budget>,
}

impl Client {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        Self {
            sdk: OnceCell::new(),
            settings,
            #[cfg(feature = "idempotency")]
            budget: Arc::default(),
        }
    }

    #[cfg(feature = "idempotency")]
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    async fn sdk(&self) -> &Sdk {
        self.sdk.get_or_init(|| self.connect()).await
    }

    /// The SDK repeats what was not answered, by which rows are written twice: it is told not to.
    async fn connect(&self) -> Sdk {
        let settings = &self.settings;
        let config = if let Some(given) = &settings.given {
            given.config().to_builder()
        } else {
            let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
            if let Some(region) = &settings.region {
                loader = loader.region(aws_config::Region::new(region.clone()));
            }
            if let Some(credentials) = &settings.credentials {
                loader = loader.credentials_provider(credentials.clone());
            }
            aws_sdk_rdsdata::config::Builder::from(&loader.load().await)
        };
        let mut config = config.retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Sdk::from_conf(config.build())
    }

    /// Makes a call, again where its error allows it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: what was sent may be done.
    pub(crate) async fn call<T, E, Fut>(
        &self,
        repeatable: Repeatable,
        send: impl Fn(Sdk) -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, SdkError<E>>> + Send,
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let sdk = self.sdk().await;
        let timeout = self.settings.timeout;
        let deadline = deadline::of(Instant::now(), timeout);
        let in_doubt = AtomicBool::new(false);
        let result = retry::until(
            Tried::Call,
            deadline,
            |_| BACKOFF,
            || {
                // Boxed, since the SDK's futures are nested so deep that the compiler gives up on
                // those of an app around them.
                let sent: BoxFuture<'_, _> = Box::pin(send(sdk.clone()));
                retry::cut(deadline, async {
                    let answer = sent.await.map_err(|error| understand(&error));
                    if answer.as_ref().is_err_and(Answer::is_doubtful) {
                        in_doubt.store(true, Ordering::Relaxed);
                    }
                    answer
                })
            },
            |answer| answer.may_be_repeated(repeatable),
            |last| Answer::hung(timeout, last),
        );
        result.await.map_err(|answer| {
            let in_doubt = in_doubt.into_inner();
            Error::from(if in_doubt {
                answer.after_doubt()
            } else {
                answer
            })
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("region", &self.settings.region)
            .field("endpoint", &self.settings.endpoint)
            .field("timeout", &self.settings.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use aws_sdk_rdsdata::config::Region;
    use aws_sdk_rdsdata::config::http::HttpResponse;
    use aws_sdk_rdsdata::error::ErrorMetadata;
    use aws_sdk_rdsdata::operation::execute_statement::ExecuteStatementError;

    use super::*;
    use crate::data_api_error::{DataApiError, Executed};

    fn given() -> Sdk {
        let config = aws_sdk_rdsdata::Config::builder().behavior_version_latest();
        Sdk::from_conf(config.region(Region::new("eu-west-1")).build())
    }

    fn client(given: Option<Sdk>) -> Client {
        Client::new(ClientSettings {
            given,
            timeout: Duration::from_secs(60),
            ..ClientSettings::default()
        })
    }

    fn exception(name: &str) -> SdkError<ExecuteStatementError> {
        let error = ErrorMetadata::builder().code(name).build();
        let response = HttpResponse::new(400.try_into().unwrap(), "".into());
        SdkError::service_error(ExecuteStatementError::generic(error), response)
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_cut_off_may_be_done_whatever_was_before() {
        for before in ["ThrottlingException", "DatabaseResumingException"] {
            let attempts = AtomicU32::new(0);
            let client = client(Some(given()));
            let result = client.call(Repeatable::IfNotExecuted, |_| {
                let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    match is_first {
                        true => Err::<(), _>(exception(before)),
                        false => std::future::pending().await,
                    }
                }
            });
            let error = result.await.unwrap_err();
            let told = DataApiError::inside(&error).unwrap();
            assert_eq!(told.executed(), Executed::Unknown, "{told}");
            let said = told.to_string();
            assert!(
                said.contains("no answer within 60.0s; before that"),
                "{said}"
            );
            assert!(said.contains(before), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_leaves_its_doubt() {
        let attempts = AtomicU32::new(0);
        let client = client(Some(given()));
        let result = client.call(Repeatable::Always, |_| {
            let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
            let name = if is_first {
                "InternalFailure"
            } else {
                "AccessDeniedException"
            };
            async move { Err::<(), _>(exception(name)) }
        });
        let error = result.await.unwrap_err();
        let told = DataApiError::inside(&error).unwrap();
        assert_eq!(told.executed(), Executed::Unknown, "{told}");
        assert_eq!(told.name(), "AccessDeniedException");
    }
}
