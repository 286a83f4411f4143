//! Calls of the service, and what their errors mean.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
#[cfg(feature = "idempotency")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_rdsdata::Client as Sdk;
use aws_sdk_rdsdata::config::retry::RetryConfig;
use aws_sdk_rdsdata::error::{ProvideErrorMetadata, SdkError};
use futures_core::future::BoxFuture;
use sqlx_core::Error;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::backoff::Backoff;
#[cfg(feature = "idempotency")]
use crate::budget::Budget;
use crate::data_api_error::{DataApiDatabaseError, DataApiError, Executed};
use crate::kind::ErrorKind;
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

/// Which of a call's errors may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatable {
    /// Those after which it has certainly not been done.
    IfNotExecuted,
    /// Doing it twice is harmless.
    Always,
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
        let attempts = AtomicU32::new(0);
        let result = retry::until(
            Tried::Call,
            deadline,
            |_| BACKOFF,
            || {
                attempts.fetch_add(1, Ordering::Relaxed);
                // Boxed, since the SDK's futures are nested so deep that the compiler gives up on
                // those of an app around them.
                let sent: BoxFuture<'_, _> = Box::pin(send(sdk.clone()));
                retry::cut(deadline, async {
                    sent.await.map_err(|error| understand(&error))
                })
            },
            |answer| answer.may_be_repeated(repeatable),
            || {
                Answer::Service(DataApiError {
                    name: "nothing".to_owned(),
                    message: format!("no answer within {timeout:.1?}"),
                    advice: "".into(),
                    kind: ErrorKind::Unavailable,
                    executed: Executed::Unknown,
                })
            },
        );
        result.await.map_err(Error::from)
    }
}

/// What a call that failed was answered.
enum Answer {
    Database(DataApiDatabaseError),
    Service(DataApiError),
}

impl Answer {
    fn may_be_repeated(&self, repeatable: Repeatable) -> bool {
        let Self::Service(error) = self else {
            return false;
        };
        match (error.kind, error.executed) {
            (ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict, Executed::No) => {
                true
            }
            (ErrorKind::Disconnected | ErrorKind::Unavailable, Executed::Unknown) => {
                repeatable == Repeatable::Always
            }
            _ => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Service(error) => error.fmt(f),
        }
    }
}

impl From<Answer> for Error {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Database(error) => Self::Database(Box::new(error)),
            Answer::Service(error) => error.into(),
        }
    }
}

fn understand<E>(error: &SdkError<E>) -> Answer
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let name = error.code();
    let message = error.message().unwrap_or_default();
    if matches!(name, Some("DatabaseErrorException" | "BadRequestException"))
        && !message.contains("Communications link failure")
        && !message.contains("is still running a query")
    {
        return Answer::Database(DataApiDatabaseError::parse(message));
    }
    let Some(name) = name else {
        return Answer::Service(unanswered(error, status));
    };
    let (kind, executed, advice) = meaning(name, message, status);
    Answer::Service(DataApiError {
        name: name.to_owned(),
        message: message.to_owned(),
        advice: unsupported_type(message).map_or(Cow::Borrowed(advice), Cow::Owned),
        kind,
        executed,
    })
}

/// No answer of the service's: it was not reached, or what it said was lost. Only what fails before
/// anything is sent has certainly not been done.
fn unanswered<E: StdError + 'static>(error: &SdkError<E>, status: Option<u16>) -> DataApiError {
    let mut message = error.to_string();
    let (mut kind, mut executed, mut advice) = (ErrorKind::Disconnected, Executed::Unknown, "");
    if matches!(error, SdkError::ConstructionFailure(_)) {
        (kind, executed) = (ErrorKind::Configuration, Executed::No);
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        if error.is::<CredentialsError>() {
            (kind, executed) = (ErrorKind::Login, Executed::No);
            advice = "; check the AWS credentials of this process";
        }
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if io == Some(io::ErrorKind::ConnectionRefused) {
            (kind, executed) = (ErrorKind::Unavailable, Executed::No);
        }
        cause = error.source();
    }
    DataApiError {
        name: status.map_or_else(|| "nothing".to_owned(), |status| status.to_string()),
        message,
        advice: advice.into(),
        kind,
        executed,
    }
}

const TOO_LARGE: (ErrorKind, Executed, &str) = (
    ErrorKind::Statement,
    Executed::No,
    "; a request may have 4 MiB: bind less at once, or use a connection",
);

/// What AWS's exceptions mean (Amazon Aurora user guide, "Troubleshooting issues with RDS Data API",
/// and the API reference).
fn meaning(name: &str, message: &str, status: Option<u16>) -> (ErrorKind, Executed, &'static str) {
    use ErrorKind as Kind;
    use Executed::{No, Unknown, Yes};
    match name {
        "ThrottlingException" => (Kind::Throttled, No, ""),
        "DatabaseResumingException" => (Kind::Unavailable, No, ""),
        // The transaction is busy with a statement that nobody waits for any more.
        "DatabaseErrorException" => (Kind::Conflict, No, ""),
        // How older clusters tell that they wake up.
        "BadRequestException" => (Kind::Unavailable, Unknown, ""),
        "StatementTimeoutException" => (
            Kind::Statement,
            Unknown,
            "; a statement may run for 45 s: do less at once, or use a connection",
        ),
        "UnsupportedResultException" if message.contains("size limit") => (
            Kind::Statement,
            Yes,
            "; a result may have 1 MiB: select fewer rows or columns, page by `cursor()` or \
             `fetch_by_key`, or use a connection",
        ),
        "UnsupportedResultException" if message.contains("multidimensional") => (
            Kind::Statement,
            Yes,
            "; arrays of arrays pass as JSON: select `to_jsonb(column)`",
        ),
        "UnsupportedResultException" if message.contains("NaN") => (
            Kind::Statement,
            Yes,
            "; cast the column to `text`, or leave them out with `NULLIF(column, 'NaN')`",
        ),
        // A type; see `unsupported_type`.
        "UnsupportedResultException" => (Kind::Statement, Yes, ""),
        "TransactionNotFoundException" => (
            Kind::Disconnected,
            No,
            "; a transaction ends after 3 min without a statement, and by an error of its own",
        ),
        "ValidationException" if message.contains("size limit") => TOO_LARGE,
        "ValidationException" => (Kind::Statement, No, ""),
        "HttpEndpointNotEnabledException" => (
            Kind::Configuration,
            No,
            "; switch the Data API on for this cluster, and write its ARN as it is, case by case",
        ),
        "SecretsErrorException" | "InvalidSecretException" => (
            Kind::Configuration,
            No,
            "; the secret must hold `username` and `password`, and the caller may read it",
        ),
        "DatabaseNotFoundException" | "NotFoundException" | "InvalidResourceStateException" => (
            Kind::Configuration,
            No,
            "; check the ARNs of cluster and secret",
        ),
        "AccessDeniedException" | "ForbiddenException" => (
            Kind::Login,
            No,
            "; allow `rds-data:*` on the cluster and `secretsmanager:GetSecretValue` on the secret",
        ),
        "InternalFailure" if message.is_empty() => (
            Kind::Disconnected,
            Unknown,
            "; so it answers a date or timestamp of `infinity`, for one: cast that to `text`",
        ),
        // AWS's front door, which takes no more than 4 MiB.
        _ if status == Some(413) => TOO_LARGE,
        // AWS's front door, which has seen the signature only.
        _ if status == Some(403) => (Kind::Login, No, "; check the AWS credentials and the clock"),
        _ => (Kind::Disconnected, Unknown, ""),
    }
}

/// The service names the type and not the column, and the statement has run: nobody can be asked.
fn unsupported_type(message: &str) -> Option<String> {
    let (_, name) = message.split_once("unsupported data type ")?;
    let name = name.trim_end_matches('.').to_lowercase();
    let instead = match name.as_str() {
        "geometry" => "select `ST_AsText(column)`",
        _ => "cast the column to `text`, as `column::text`",
    };
    Some(format!(
        "; the Data API has no form for the type `{name}`: {instead}"
    ))
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
    use super::*;
    use ErrorKind as Kind;
    use Executed::{No, Unknown, Yes};

    #[test]
    fn exceptions_mean_what_aws_says_of_them() {
        let size = "The result exceeds the size limit 1 MB.";
        let array = "The result contains a multidimensional array";
        let nan = "NaN and Infinity values are not supported";
        let busy = "Transaction is still running a query";
        let request = "The request exceeds the size limit 4 MB.";
        for (name, message, status, kind, executed, says) in [
            ("ThrottlingException", "", 400, Kind::Throttled, No, ""),
            (
                "DatabaseResumingException",
                "",
                400,
                Kind::Unavailable,
                No,
                "",
            ),
            ("DatabaseErrorException", busy, 400, Kind::Conflict, No, ""),
            (
                "BadRequestException",
                "Communications link failure",
                400,
                Kind::Unavailable,
                Unknown,
                "",
            ),
            (
                "StatementTimeoutException",
                "",
                400,
                Kind::Statement,
                Unknown,
                "45 s",
            ),
            (
                "UnsupportedResultException",
                size,
                400,
                Kind::Statement,
                Yes,
                "1 MiB",
            ),
            (
                "UnsupportedResultException",
                array,
                400,
                Kind::Statement,
                Yes,
                "to_jsonb(column)",
            ),
            (
                "UnsupportedResultException",
                nan,
                400,
                Kind::Statement,
                Yes,
                "NULLIF(column, 'NaN')",
            ),
            (
                "UnsupportedResultException",
                "?",
                400,
                Kind::Statement,
                Yes,
                "",
            ),
            (
                "TransactionNotFoundException",
                "",
                404,
                Kind::Disconnected,
                No,
                "3 min",
            ),
            ("ValidationException", "", 400, Kind::Statement, No, ""),
            (
                "ValidationException",
                request,
                400,
                Kind::Statement,
                No,
                "4 MiB",
            ),
            (
                "RequestEntityTooLarge",
                "",
                413,
                Kind::Statement,
                No,
                "4 MiB",
            ),
            (
                "HttpEndpointNotEnabledException",
                "",
                400,
                Kind::Configuration,
                No,
                "switch the Data API on",
            ),
            (
                "SecretsErrorException",
                "",
                400,
                Kind::Configuration,
                No,
                "`username` and `password`",
            ),
            (
                "InvalidSecretException",
                "",
                400,
                Kind::Configuration,
                No,
                "`username` and `password`",
            ),
            (
                "DatabaseNotFoundException",
                "",
                404,
                Kind::Configuration,
                No,
                "ARNs",
            ),
            (
                "NotFoundException",
                "",
                404,
                Kind::Configuration,
                No,
                "ARNs",
            ),
            (
                "InvalidResourceStateException",
                "",
                400,
                Kind::Configuration,
                No,
                "ARNs",
            ),
            (
                "AccessDeniedException",
                "",
                403,
                Kind::Login,
                No,
                "rds-data:*",
            ),
            (
                "ForbiddenException",
                "",
                403,
                Kind::Login,
                No,
                "secretsmanager:GetSecretValue",
            ),
            (
                "InvalidSignatureException",
                "",
                403,
                Kind::Login,
                No,
                "clock",
            ),
            (
                "InternalFailure",
                "",
                500,
                Kind::Disconnected,
                Unknown,
                "`infinity`",
            ),
            (
                "InternalFailure",
                "text",
                500,
                Kind::Disconnected,
                Unknown,
                "",
            ),
            (
                "InternalServerErrorException",
                "",
                500,
                Kind::Disconnected,
                Unknown,
                "",
            ),
            (
                "ServiceUnavailableError",
                "",
                503,
                Kind::Disconnected,
                Unknown,
                "",
            ),
            (
                "DatabaseUnavailableException",
                "",
                504,
                Kind::Disconnected,
                Unknown,
                "",
            ),
        ] {
            let (found, done, advice) = meaning(name, message, Some(status));
            assert_eq!((found, done), (kind, executed), "{name}: {message}");
            assert!(advice.contains(says), "{name}: {advice}");
            assert_eq!(advice.is_empty(), says.is_empty(), "{name}: {advice}");
        }
    }

    #[test]
    fn a_type_is_named_with_what_to_write() {
        let advice = |name| {
            unsupported_type(&format!(
                "The result contains the unsupported data type {name}."
            ))
        };
        let interval = advice("INTERVAL").unwrap();
        assert!(interval.contains("`interval`: cast"), "{interval}");
        assert!(advice("GEOMETRY").unwrap().contains("ST_AsText"));
        assert_eq!(unsupported_type("something else"), None);
    }
}
