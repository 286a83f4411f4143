//! What the Data API can be told to do wrong.

/// An operation of the Data API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataApiOperation {
    /// `ExecuteStatement`.
    ExecuteStatement,
    /// `BatchExecuteStatement`.
    BatchExecuteStatement,
    /// `BeginTransaction`.
    BeginTransaction,
    /// `CommitTransaction`.
    CommitTransaction,
    /// `RollbackTransaction`.
    RollbackTransaction,
}

/// An answer that does not tell whether anything was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataApiFailure {
    /// `InternalServerErrorException`, with status 500.
    InternalServerError,
    /// `ServiceUnavailableError`, with status 503.
    ServiceUnavailable,
    /// `DatabaseUnavailableException`, with status 504.
    DatabaseUnavailable,
}

/// An answer that turns a request away: nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataApiRefusal {
    /// `AccessDeniedException`, with status 403: no policy allows it.
    AccessDenied,
    /// `BadRequestException`, with the words with which some clusters of the first Data API woke up.
    BadRequest,
    /// `DatabaseNotFoundException`, with status 404: the cluster has no instance.
    DatabaseNotFound,
    /// `ExpiredTokenException`, with status 403: temporary keys are over.
    ExpiredToken,
    /// `ForbiddenException`, with status 403.
    Forbidden,
    /// `HttpEndpointNotEnabledException`.
    HttpEndpointNotEnabled,
    /// `InvalidResourceStateException`.
    InvalidResourceState,
    /// `InvalidSecretException`: the secret is no login.
    InvalidSecret,
    /// `NotFoundException`, with status 404; AWS has it for `CommitTransaction` and
    /// `RollbackTransaction` only.
    NotFound,
    /// `SecretsErrorException`: the secret cannot be read.
    SecretsError,
}

impl DataApiRefusal {
    const ALL: [Self; 10] = [
        Self::AccessDenied,
        Self::BadRequest,
        Self::DatabaseNotFound,
        Self::ExpiredToken,
        Self::Forbidden,
        Self::HttpEndpointNotEnabled,
        Self::InvalidResourceState,
        Self::InvalidSecret,
        Self::NotFound,
        Self::SecretsError,
    ];

    /// The name of the exception.
    pub fn code(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::BadRequest => "BadRequestException",
            Self::DatabaseNotFound => "DatabaseNotFoundException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::Forbidden => "ForbiddenException",
            Self::HttpEndpointNotEnabled => "HttpEndpointNotEnabledException",
            Self::InvalidResourceState => "InvalidResourceStateException",
            Self::InvalidSecret => "InvalidSecretException",
            Self::NotFound => "NotFoundException",
            Self::SecretsError => "SecretsErrorException",
        }
    }

    /// The refusal with the exception of that name, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

/// What a request to the Data API runs into.
///
/// Ordered with [`DataApi::play_next`](crate::DataApi::play_next) and
/// [`DataApi::play_next_of`](crate::DataApi::play_next_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataApiFault {
    /// `DatabaseResumingException`: the database was paused, and wakes up. Nothing is done.
    Resuming,
    /// `ThrottlingException`. Nothing is done.
    Throttling,
    /// The request is turned away. Nothing is done.
    Refuse(DataApiRefusal),
    /// The answer is a failure, and nothing is done.
    Before(DataApiFailure),
    /// All is done, and committed where that is asked for; then the answer is a failure.
    After(DataApiFailure),
    /// All is done; then the connection is closed without an answer.
    CloseAfter,
    /// `StatementTimeoutException`, without the wait. The statement has not run, unless the request
    /// says `continueAfterTimeout`; a transaction of PostgreSQL is left aborted. To an operation
    /// without a statement it says that there is no connection, and nothing is done.
    StatementTimeout,
    /// The transaction that the request names has expired just before it. Waits for a request
    /// other than `BeginTransaction`.
    ExpireTransaction,
    /// The statement has run, and its result counts as larger than 1 MiB; the transaction that it
    /// belongs to is ended. Waits for an `ExecuteStatement`.
    Oversize,
}

impl DataApiFault {
    /// Whether it can befall the operation.
    pub(super) fn fits(self, operation: DataApiOperation) -> bool {
        match self {
            Self::ExpireTransaction => operation != DataApiOperation::BeginTransaction,
            Self::Oversize => operation == DataApiOperation::ExecuteStatement,
            _ => true,
        }
    }
}
