//! What an error means, in words that code can act on.

use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server did not accept the login: a token that expired, was never valid, or, since RDS
    /// answers the same, may not be used by this role.
    Refused,
    /// The server lets nobody in this way: TLS off, no matching `pg_hba.conf` line, no such
    /// plugin, the host blocked. Another login changes nothing.
    Rejected,
    /// Every connection of the server or proxy is taken.
    Full,
    /// The server, the proxy or AWS asks to slow down.
    Throttled,
    /// Nothing usable answers: connection refused, no such name, starting up, recovering.
    Unavailable,
    /// An open connection was lost.
    Disconnected,
    /// The server has become a reader: this host is no longer the writer.
    ReadOnly,
    /// The transaction lost against another one and may be run again.
    Conflict,
    /// The server's certificate cannot be trusted, or it speaks no TLS.
    Tls,
    /// No login could be made: see [`LoginError`](crate::LoginError).
    Login,
    /// A setting is wrong: see [`ConfigError`](crate::ConfigError).
    Configuration,
    /// Work with the same idempotency key is under way.
    InProgress,
    /// An idempotency key was used for another request before.
    KeyReused,
    /// No connection became free in time.
    PoolTimedOut,
    /// More tasks wait for a connection than may: see [`Overloaded`](crate::Overloaded).
    Overloaded,
    /// The pool is closed.
    PoolClosed,
    /// Client and server do not understand each other.
    Protocol,
    /// The statement failed, or its result could not be read.
    Statement,
}

/// What to do about it, and whose work that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// Make a new login and try once more: the connector's.
    Remint,
    /// Drop this connection and take another: the pool's.
    Reconnect,
    /// Wait, then try again: the retry loop's.
    Retry,
    /// Tell the caller.
    Fail,
}

impl ErrorKind {
    /// What a person can do about it, in words; empty where the error says it all.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Refused => {
                "the server refuses fresh logins too: check that the database user exists and uses \
                 IAM (PostgreSQL: `GRANT rds_iam TO app`; MySQL: `AWSAuthenticationPlugin`), that \
                 this AWS identity may `rds-db:connect` as that user to this resource, that the \
                 signed host is the RDS endpoint itself, and that this machine's clock is right"
            }
            Self::Rejected => {
                "no login is accepted this way: check that TLS is on, and the server's access rules"
            }
            Self::Full => {
                "every connection of the server is taken: lower `max_connections` times \
                 the number of workers, or use RDS Proxy"
            }
            Self::Throttled => "connect less often: RDS takes about 200 new IAM logins a second",
            Self::Unavailable => "check that host and port are right and can be reached from here",
            Self::Tls => {
                "check that TLS is on, give AWS's bundle for the region as `sslrootcert`, and dial \
                 a name that the certificate covers"
            }
            Self::Login => "check the AWS credentials of this process",
            _ => "",
        }
    }

    /// The HTTP status that a service should answer with: `503 Service Unavailable` for what may be
    /// over in a moment, so that load balancers and clients know to try again, `409 Conflict` and
    /// `422 Unprocessable Content` for what is wrong with an idempotency key, and `500` for the rest.
    ///
    /// ```
    /// use sqlx_rds::ErrorKind;
    ///
    /// let kind = ErrorKind::of(&sqlx::Error::PoolTimedOut);
    /// assert_eq!(kind.http_status(), 503);
    /// assert_eq!(kind.retry_after().map(|wait| wait.as_secs()), Some(1));
    /// ```
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::InProgress => 409,
            Self::KeyReused => 422,
            _ if self.retry_after().is_some() => 503,
            _ => 500,
        }
    }

    /// How long a client should wait before it asks again, for the header `Retry-After`; `None`
    /// where asking again brings the same answer.
    ///
    /// A second for what passes with the moment's load, five for a server that is away: a failover
    /// takes half a minute, and its end should not meet everybody at once.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded
            | Self::PoolTimedOut
            | Self::Disconnected
            | Self::Conflict
            | Self::InProgress => Some(Duration::from_secs(1)),
            Self::Full | Self::Throttled | Self::Unavailable | Self::ReadOnly => {
                Some(Duration::from_secs(5))
            }
            Self::Refused
            | Self::Rejected
            | Self::Tls
            | Self::Login
            | Self::Configuration
            | Self::KeyReused
            | Self::PoolClosed
            | Self::Protocol
            | Self::Statement => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn recovery(self) -> Recovery {
        match self {
            Self::Refused => Recovery::Remint,
            Self::Disconnected | Self::ReadOnly => Recovery::Reconnect,
            Self::Full
            | Self::Throttled
            | Self::Unavailable
            | Self::Conflict
            | Self::InProgress
            | Self::Overloaded => Recovery::Retry,
            Self::Rejected
            | Self::Tls
            | Self::Login
            | Self::Configuration
            | Self::KeyReused
            | Self::PoolTimedOut
            | Self::PoolClosed
            | Self::Protocol
            | Self::Statement => Recovery::Fail,
        }
    }
}
