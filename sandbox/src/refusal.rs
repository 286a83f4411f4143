use std::time::Duration;

use crate::fault::LoginFault;

/// Why an IAM login was refused.
///
/// `Display` tells the true reason; it never contains the signature or the session token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The connection has no TLS, and RDS takes no token without it.
    #[error("the connection is not encrypted")]
    NoTls,
    /// The client named no server in its TLS handshake, and Aurora DSQL goes by that name.
    #[error("the client sent no server name (SNI)")]
    NoServerName,
    /// The client sent an empty password.
    #[error("the password is empty")]
    EmptyPassword,
    /// The password is not a well-formed token.
    #[error("not a well-formed token: {0}")]
    Malformed(&'static str),
    /// The token was signed for another host.
    #[error("the token is for host {token:?}, not for {expected:?}")]
    WrongHost {
        /// Host in the token.
        token: String,
        /// Host this endpoint answers to.
        expected: String,
    },
    /// The token was signed for another port.
    #[error("the token is for port {token}, not for {expected}")]
    WrongPort {
        /// Port in the token.
        token: u16,
        /// Port this endpoint answers on.
        expected: u16,
    },
    /// The token was signed for another database user.
    #[error("the token is for user {token:?}, not for {expected:?}")]
    WrongUser {
        /// User in the token.
        token: String,
        /// User of the login.
        expected: String,
    },
    /// Signed with an access key that is not the sandbox's.
    #[error("the access key is not known here")]
    UnknownAccessKey,
    /// Signed for another region.
    #[error("the token is for region {token:?}, not for {expected:?}")]
    WrongRegion {
        /// Region in the token.
        token: String,
        /// Region of this endpoint.
        expected: String,
    },
    /// Signed for a service other than `rds-db`.
    #[error("the token is for service {0:?}, not for \"rds-db\"")]
    WrongService(String),
    /// The session token is missing, superfluous or another one.
    #[error("the session token does not belong to the access key")]
    WrongSessionToken,
    /// `X-Amz-Expires` is over 900.
    #[error("the token asks for {} s, more than the 900 s allowed", .0.as_secs())]
    LifetimeTooLong(Duration),
    /// The signature does not match.
    #[error("the signature does not match")]
    BadSignature,
    /// Signed further in the future than the server's tolerance.
    #[error("the token was signed {} s in the future", .0.as_secs())]
    NotYetValid(Duration),
    /// The token has outlived its lifetime.
    #[error("the token expired: it is {} s old and was made for {} s", .age.as_secs(), .lifetime.as_secs())]
    Expired {
        /// Time since signing.
        age: Duration,
        /// Time it was made for.
        lifetime: Duration,
    },
    /// The proxy turns the client away, in these words.
    #[error("{0}")]
    ByProxy(String),
    /// The token was good, but a fault was ordered for this login.
    #[error("by order, {0}")]
    Ordered(LoginFault),
}
