//! IAM auth tokens: made as AWS's tools make them, verified as RDS does.
//!
//! A token is a SigV4 query-presigned URL without its `https://`:
//! `host:port/?Action=connect&DBUser=…&X-Amz-…&X-Amz-Signature=…`, and for a cluster of Aurora DSQL
//! `host/?Action=DbConnect&X-Amz-…&X-Amz-Signature=…`, or `DbConnectAdmin` for its user `admin`.

mod parameters;
mod verify;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hmac::Mac;

use crate::aws::AwsKeys;
use crate::sigv4::{self, ALGORITHM, EMPTY_BODY, Scope};

use self::parameters::{
    ACTION, USER, X_ALGORITHM, X_CREDENTIAL, X_DATE, X_EXPIRES, X_SECURITY_TOKEN, X_SIGNATURE,
    X_SIGNED_HEADERS,
};

pub use self::verify::verify;

/// The longest life RDS grants a token, whatever its `X-Amz-Expires` says.
pub const MAX_LIFETIME: Duration = Duration::from_secs(900);

/// The longest life Aurora DSQL grants a token.
pub const MAX_DSQL_LIFETIME: Duration = Duration::from_secs(604_800);

/// How far in the future a token may be signed.
///
/// AWS does not tell its own figure, so this is our reading: enough for a clock kept by NTP and
/// for rounding, too little to hide a signer with a wrong clock.
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);

/// What to make a token for.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// Host name that the server knows itself by; not necessarily the one to dial.
    pub host: &'a str,
    /// Port that goes with the host.
    pub port: u16,
    /// Database user, case as the database has it.
    pub username: &'a str,
    /// Lifetime in whole seconds. Not checked, so that tests can ask for too much.
    pub expires: Duration,
    /// Signing time.
    pub at: SystemTime,
}

/// Makes a token.
pub fn mint(keys: &AwsKeys, request: &TokenRequest<'_>) -> String {
    let TokenRequest { host, port, .. } = *request;
    let service = Service::of(host);
    let timestamp = sigv4::timestamp(request.at);
    let scope = Scope {
        date: &timestamp[..8],
        region: &keys.region,
        service: service.name(),
    };
    let credential = sigv4::encode(&format!("{}/{scope}", keys.access_key_id));
    let username = sigv4::encode(request.username);
    let expires = request.expires.as_secs().to_string();
    let session_token = keys.session_token.as_deref().map(sigv4::encode);

    let mut parameters = BTreeMap::from([
        (ACTION, service.action(request.username)),
        (X_ALGORITHM, ALGORITHM),
        (X_CREDENTIAL, &credential),
        (X_DATE, &timestamp),
        (X_EXPIRES, &expires),
        (X_SIGNED_HEADERS, HOST),
    ]);
    if service == Service::Rds {
        parameters.insert(USER, &username);
    }
    if let Some(session_token) = &session_token {
        parameters.insert(X_SECURITY_TOKEN, session_token);
    }
    let query = sigv4::query(parameters);

    let address = service.address(host, port);
    let signature = sign(keys, scope, &timestamp, &address, &query)
        .finalize()
        .into_bytes();
    format!(
        "{address}/?{query}&{X_SIGNATURE}={}",
        hex::encode(signature)
    )
}

/// What checks a token, which the host tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Rds,
    Dsql,
}

impl Service {
    pub(crate) fn of(host: &str) -> Self {
        let is_dsql = host.ends_with(".on.aws") && host.contains(".dsql");
        if is_dsql { Self::Dsql } else { Self::Rds }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds-db",
            Self::Dsql => "dsql",
        }
    }

    fn action(self, username: &str) -> &'static str {
        match self {
            Self::Rds => "connect",
            Self::Dsql if username == "admin" => "DbConnectAdmin",
            Self::Dsql => "DbConnect",
        }
    }

    fn address(self, host: &str, port: u16) -> String {
        match self {
            Self::Rds => format!("{host}:{port}"),
            Self::Dsql => host.to_owned(),
        }
    }

    fn max_lifetime(self) -> Duration {
        match self {
            Self::Rds => MAX_LIFETIME,
            Self::Dsql => MAX_DSQL_LIFETIME,
        }
    }
}

fn sign(keys: &AwsKeys, scope: Scope<'_>, timestamp: &str, address: &str, query: &str) -> impl Mac {
    // HTTP leaves a scheme's default port out of the `Host` header, and so do the signers.
    let host = address.strip_suffix(":443").unwrap_or(address);
    let canonical_request = format!("GET\n/\n{query}\nhost:{host}\n\n{HOST}\n{EMPTY_BODY}");
    sigv4::signature(
        &keys.secret_access_key,
        scope,
        timestamp,
        &canonical_request,
    )
}

const HOST: &str = "host";
const HTTPS: u16 = 443;
