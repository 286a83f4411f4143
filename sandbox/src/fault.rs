//! What a gateway can be told to do wrong.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

/// What a new connection meets before anybody has said who it is.
///
/// Ordered with [`Gateway::play_at_connect`](crate::Gateway::play_at_connect).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectFault {
    /// The connection is reset.
    Reset,
    /// Nothing is answered, until the gateway ends the connection after 10 s.
    Silence,
    /// Everything begins this much later.
    Delay(Duration),
    /// The server has no TLS. A MySQL server also asks for the password in clear text in its
    /// greeting, before the client can object.
    NoTls,
    /// TLS is served with this certificate and key:
    /// [`Certificates::expired`](crate::Certificates::expired),
    /// [`Certificates::for_other_host`](crate::Certificates::for_other_host), or those of an
    /// authority that the client does not know.
    Certificate(Arc<ServerConfig>),
}

/// Where a client's connection is lost when it says COMMIT.
///
/// The client cannot tell one from the other.
///
/// Ordered with [`Gateway::play_at_commit`](crate::Gateway::play_at_commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitFault {
    /// On the way to the server: COMMIT never reaches it, and the transaction is rolled back.
    Before,
    /// On the way back: the server has carried COMMIT out, and its answer never reaches the
    /// client, which loses its connection only then.
    After,
}

/// What becomes of an IAM user's login whose token is good.
///
/// Ordered with [`Gateway::play_next`](crate::Gateway::play_next).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginFault {
    /// The token is refused, in the words of RDS: `28000` or `1045`. RDS says the same to a token
    /// that is too old, to one that may not connect, and when it is too busy to check.
    #[error("the token is refused")]
    RefuseToken,
    /// The login ends with this error.
    #[error("the login ends with {code}: {message}")]
    Error {
        /// An SQLSTATE on PostgreSQL, an error number on MySQL.
        code: String,
        /// What the client is told.
        message: String,
    },
    /// No answer ever comes, until the gateway ends the login after 10 s.
    #[error("the login is not answered")]
    Hang,
    /// The connection is closed without a word.
    #[error("the connection is closed")]
    Close,
}

impl LoginFault {
    /// A login that ends with an error of the server.
    ///
    /// `code` is an SQLSTATE on PostgreSQL, as `53300`, and an error number on MySQL, as `1226`.
    pub fn error(code: impl ToString, message: impl Into<String>) -> Self {
        Self::Error {
            code: code.to_string(),
            message: message.into(),
        }
    }
}
