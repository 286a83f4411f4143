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
    /// The answer is a failure, and nothing is done.
    Before(DataApiFailure),
    /// All is done, and committed where that is asked for; then the answer is a failure.
    After(DataApiFailure),
    /// All is done; then the connection is closed without an answer.
    CloseAfter,
    /// `StatementTimeoutException`, without the wait. The statement has not run, unless the request
    /// says `continueAfterTimeout`; a transaction of PostgreSQL is left aborted.
    StatementTimeout,
    /// The transaction that the request names has expired just before it.
    ExpireTransaction,
    /// The statement has run, and its result counts as larger than 1 MiB; the transaction that it
    /// belongs to is ended.
    Oversize,
}
