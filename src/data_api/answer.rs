//! What the service answers a call that failed, and what that means.

use std::any::TypeId;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_rdsdata::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_rdsdata::operation::begin_transaction::BeginTransactionError;
use sqlx_core::Error;

use crate::data_api_error::{DataApiDatabaseError, DataApiError, Executed};
use crate::kind::ErrorKind;

/// Which of a call's errors may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatable {
    /// Those after which it has certainly not been done.
    IfNotExecuted,
    /// Doing it twice is harmless.
    Always,
}

/// What a call that failed was answered.
pub(crate) enum Answer {
    Database(DataApiDatabaseError),
    Service(DataApiError),
}

impl Answer {
    /// To an attempt that was cut off, which may be done whatever became of those before.
    pub(crate) fn hung(timeout: Duration, last: Option<Self>) -> Self {
        let mut message = format!("no answer within {timeout:.1?}");
        if let Some(last) = last {
            message = format!("{message}; before that: {last}");
        }
        Self::Service(DataApiError {
            name: "nothing".to_owned(),
            message,
            advice: "".into(),
            kind: ErrorKind::Unavailable,
            executed: Executed::Unknown,
        })
    }

    /// The AWS SDK's configuration took all the time there was: files, or an endpoint that tells
    /// the region.
    pub(crate) fn unread(timeout: Duration) -> Self {
        Self::Service(DataApiError {
            name: "nothing".to_owned(),
            message: format!("the AWS SDK's configuration was not read within {timeout:.1?}"),
            advice: "; name the region, and give a `credentials_provider`".into(),
            kind: ErrorKind::Unavailable,
            executed: Executed::No,
        })
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Service(error) if error.executed == Executed::Unknown)
    }

    /// Where an attempt before may be done, this one's not being done says nothing of the call.
    pub(crate) fn after_doubt(mut self) -> Self {
        if let Self::Service(error) = &mut self
            && error.executed == Executed::No
        {
            error.executed = Executed::Unknown;
        }
        self
    }

    pub(crate) fn may_be_repeated(&self, repeatable: Repeatable) -> bool {
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

pub(crate) fn understand<E>(error: &SdkError<E>) -> Answer
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let name = error.code();
    let message = error.message().unwrap_or_default();
    // Only where nothing else is said: a message may hold what the app's users wrote.
    let is_of_database = match name {
        Some("DatabaseErrorException") => message.trim() != BUSY,
        Some("BadRequestException") => !message.starts_with("Communications link failure"),
        _ => false,
    };
    if is_of_database {
        return Answer::Database(DataApiDatabaseError::parse(message));
    }
    let Some(name) = name else {
        return Answer::Service(unanswered(error, status));
    };
    let begins = TypeId::of::<E>() == TypeId::of::<BeginTransactionError>();
    let (kind, executed, advice) = match name {
        "StatementTimeoutException" if begins => NONE_FREE,
        name => meaning(name, message, status),
    };
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
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        if error.is::<CredentialsError>() {
            (kind, executed) = (ErrorKind::Login, Executed::No);
            advice = "; check the AWS credentials of this process";
        }
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let http = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if io == Some(io::ErrorKind::ConnectionRefused) || http.is_some_and(|e| e.is_connect()) {
            (kind, executed) = (ErrorKind::Unavailable, Executed::No);
        }
        // Such as an unknown certificate, which does not pass.
        if error.is::<rustls::Error>() {
            kind = ErrorKind::Tls;
        }
        // An I/O error's source is that of what it holds.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = held.map_or_else(|| error.source(), |held| Some(held));
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

/// A transaction that waited for a connection in vain; no statement has run that took too long.
const NONE_FREE: (ErrorKind, Executed, &str) = (
    ErrorKind::Unavailable,
    Executed::No,
    "; the service had no connection to the database free: raise `max_connections`, or do less at once",
);

/// Told of a transaction, without the SQLSTATE that the database's own errors have.
const BUSY: &str = "Transaction is still running a query";

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

#[cfg(test)]
mod tests {
    use aws_sdk_rdsdata::config::http::HttpResponse;
    use aws_sdk_rdsdata::error::ErrorMetadata;
    use aws_sdk_rdsdata::operation::execute_statement::ExecuteStatementError;

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

    fn told<E>(name: &str, message: &str, of: impl Fn(ErrorMetadata) -> E) -> Answer
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let error = ErrorMetadata::builder().code(name).message(message).build();
        let response = HttpResponse::new(400.try_into().unwrap(), "".into());
        understand(&SdkError::service_error(of(error), response))
    }

    #[test]
    fn what_users_wrote_is_not_taken_for_the_service() {
        for message in [
            "ERROR: invalid input syntax for type integer: \"is still running a query\"; \
             SQLState: 22P02",
            "ERROR: Transaction is still running a query; SQLState: P0001",
            "ERROR: invalid input syntax for type integer: \"Communications link failure\"; \
             SQLState: 22P02",
            "Communications link failure; SQLState: P0001",
        ] {
            let answer = told(
                "DatabaseErrorException",
                message,
                ExecuteStatementError::generic,
            );
            assert!(matches!(answer, Answer::Database(_)), "{answer}");
        }
        let v1 = "ERROR: \"Communications link failure\"; SQLState: 22P02";
        let answer = told("BadRequestException", v1, ExecuteStatementError::generic);
        assert!(matches!(answer, Answer::Database(_)), "{answer}");
        let asleep = "Communications link failure\n\nThe last packet sent successfully ..";
        for (name, message) in [
            (
                "DatabaseErrorException",
                "Transaction is still running a query\n",
            ),
            ("BadRequestException", asleep),
        ] {
            let answer = told(name, message, ExecuteStatementError::generic);
            assert!(answer.may_be_repeated(Repeatable::Always), "{answer}");
        }
    }

    #[test]
    fn a_transaction_without_a_free_connection_has_not_begun() {
        let name = "StatementTimeoutException";
        let answer = told(name, "", BeginTransactionError::generic);
        assert!(
            answer.may_be_repeated(Repeatable::IfNotExecuted),
            "{answer}"
        );
        assert!(answer.to_string().contains("`max_connections`"), "{answer}");
        let answer = told(name, "", ExecuteStatementError::generic);
        assert!(!answer.may_be_repeated(Repeatable::Always), "{answer}");
    }
}
