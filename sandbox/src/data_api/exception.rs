//! The exceptions of the Data API.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{DataApiFailure, DataApiOperation, DataApiRefusal};
use crate::signature::Unsigned;

/// An answer other than the one that was hoped for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exception {
    pub(super) code: &'static str,
    status: StatusCode,
    /// Some come without a word.
    message: Option<String>,
    connection_id: Option<u64>,
}

impl Exception {
    fn new(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code,
            status,
            message: Some(message.into()),
            connection_id: None,
        }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::BAD_REQUEST, message)
    }

    /// What the service finds wrong with a request before any database sees it.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::bad("ValidationException", message)
    }

    /// What cannot be read at all.
    pub(super) fn serialization(message: &str) -> Self {
        Self::bad("SerializationException", message)
    }

    pub(super) fn multistatement() -> Self {
        Self::validation("Multistatements aren't supported.")
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::bad("BadRequestException", message)
    }

    /// What the database says.
    pub(super) fn database(message: impl Into<String>) -> Self {
        Self::bad("DatabaseErrorException", message)
    }

    pub(super) fn busy() -> Self {
        Self::database("Transaction is still running a query")
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::bad("UnsupportedResultException", message)
    }

    pub(super) fn oversize() -> Self {
        Self::unsupported("The result exceeds the size limit 1 MB.")
    }

    pub(super) fn timeout(connection_id: u64) -> Self {
        Self {
            connection_id: Some(connection_id),
            ..Self::bad("StatementTimeoutException", "Request timed out")
        }
    }

    /// No connection to begin a transaction on, in time.
    pub(super) fn connection_timeout() -> Self {
        Self::bad("StatementTimeoutException", "Connection is not available")
    }

    pub(super) fn resuming(cluster: &str) -> Self {
        let message = format!(
            "The Aurora DB instance {cluster} is resuming after being auto-paused. \
             Please wait a few seconds and try again."
        );
        Self::bad("DatabaseResumingException", message)
    }

    pub(super) fn throttling() -> Self {
        Self::bad("ThrottlingException", "Rate exceeded")
    }

    pub(super) fn transaction_not_found(id: &str) -> Self {
        let message = format!(
            "Transaction {id} is not found. It may be expired, terminated by a previous call \
             or aborted by an earlier error."
        );
        Self::new(
            "TransactionNotFoundException",
            StatusCode::NOT_FOUND,
            message,
        )
    }

    pub(super) fn endpoint_not_enabled(arn: &str) -> Self {
        Self::bad(
            "HttpEndpointNotEnabledException",
            format!("HttpEndpoint is not enabled for resource {arn}"),
        )
    }

    /// No secret of that name or ARN can be read.
    pub(super) fn secrets_error() -> Self {
        Self::bad(
            "SecretsErrorException",
            "There was a problem with the Secrets Manager secret used with the request: \
             Secrets Manager can't find the specified secret.",
        )
    }

    /// A secret that is no login.
    pub(super) fn invalid_secret() -> Self {
        Self::bad(
            "InvalidSecretException",
            "The Secrets Manager secret used with the request isn't valid.",
        )
    }

    pub(super) fn database_unavailable() -> Self {
        Self::of(DataApiFailure::DatabaseUnavailable)
    }

    /// The service has broken down over what the database said, and says nothing about it.
    pub(super) fn internal_failure() -> Self {
        Self {
            message: None,
            ..Self::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }

    /// `ExecuteSql`, which came before `ExecuteStatement`.
    pub(super) fn deprecated() -> Self {
        Self::bad_request(
            "This API is deprecated and not available. Use ExecuteStatement API instead",
        )
    }

    pub(super) fn unknown_operation() -> Self {
        Self {
            message: None,
            ..Self::new("UnknownOperationException", StatusCode::NOT_FOUND, "")
        }
    }

    /// The same as the first Data API said it, which had few classes of exceptions.
    pub(super) fn into_v1(self) -> Self {
        let message = self.message.as_deref().unwrap_or_default();
        let message = match self.code {
            _ if self == Self::oversize() => {
                "Database returned more than the allowed response size limit".to_owned()
            }
            "DatabaseErrorException" => message
                .replace("; Hint: ", "\n  Hint: ")
                .replace("; Position: ", "\n  Position: "),
            "TransactionNotFoundException"
            | "UnsupportedResultException"
            | "ValidationException" => message.to_owned(),
            _ => return self,
        };
        Self::bad_request(message)
    }

    pub(super) fn of(failure: DataApiFailure) -> Self {
        match failure {
            DataApiFailure::InternalServerError => Self::new(
                "InternalServerErrorException",
                StatusCode::INTERNAL_SERVER_ERROR,
                "An internal error occurred.",
            ),
            DataApiFailure::ServiceUnavailable => Self::new(
                "ServiceUnavailableError",
                StatusCode::SERVICE_UNAVAILABLE,
                "The service specified by the resourceArn parameter isn't available.",
            ),
            DataApiFailure::DatabaseUnavailable => Self::new(
                "DatabaseUnavailableException",
                StatusCode::GATEWAY_TIMEOUT,
                "The writer instance in the DB cluster isn't available.",
            ),
        }
    }
}

impl Exception {
    /// What turns a request away before anything is done.
    pub(super) fn refused(refusal: DataApiRefusal, of: DataApiOperation, resource: &str) -> Self {
        let code = refusal.code();
        match refusal {
            DataApiRefusal::AccessDenied => Self::new(
                code,
                StatusCode::FORBIDDEN,
                format!(
                    "User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform: \
                     rds-data:{of:?} on resource: {resource} because no identity-based policy \
                     allows the rds-data:{of:?} action"
                ),
            ),
            DataApiRefusal::BadRequest => Self::bad(code, "Communications link failure"),
            DataApiRefusal::DatabaseNotFound => Self::new(
                code,
                StatusCode::NOT_FOUND,
                "The DB cluster doesn't have a DB instance.",
            ),
            DataApiRefusal::ExpiredToken => Self::new(
                code,
                StatusCode::FORBIDDEN,
                "The security token included in the request is expired",
            ),
            DataApiRefusal::Forbidden => Self::new(
                code,
                StatusCode::FORBIDDEN,
                "There are insufficient privileges to make the call.",
            ),
            DataApiRefusal::HttpEndpointNotEnabled => Self::endpoint_not_enabled(resource),
            DataApiRefusal::InvalidResourceState => {
                Self::bad(code, "The resource is in an invalid state.")
            }
            DataApiRefusal::InvalidSecret => Self::invalid_secret(),
            DataApiRefusal::NotFound => Self::new(
                code,
                StatusCode::NOT_FOUND,
                "The resourceArn, secretArn, or transactionId value can't be found.",
            ),
            DataApiRefusal::SecretsError => Self::secrets_error(),
        }
    }
}

impl From<Unsigned> for Exception {
    fn from(Unsigned { code, message }: Unsigned) -> Self {
        Self::new(code, StatusCode::FORBIDDEN, message)
    }
}

impl IntoResponse for Exception {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        if let Some(message) = self.message {
            body.insert("message".into(), json!(message));
        }
        if let Some(id) = self.connection_id {
            body.insert("dbConnectionId".into(), json!(id));
        }
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (
                header::HeaderName::from_static("x-amzn-errortype"),
                self.code,
            ),
        ];
        (self.status, headers, Value::Object(body).to_string()).into_response()
    }
}
