//! Where a client finds a database, and what it signs tokens for.

use serde::{Deserialize, Serialize};

/// Where a client finds a database, and what it signs tokens for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address to dial.
    pub host: String,
    /// Port to dial.
    pub port: u16,
    /// A user who logs in with IAM tokens and may do everything in `database`.
    pub user: String,
    /// A database for that user.
    pub database: String,
    /// Host that tokens must be signed for: shaped like one of RDS, it resolves nowhere.
    pub sign_host: String,
    /// Port that tokens must be signed for.
    pub sign_port: u16,
}
