//! IAM auth tokens: made as AWS's tools make them, verified as RDS does.
//!
//! A token is a SigV4 query-presigned URL without its `https://`:
//! `host:port/?Action=connect&DBUser=…&X-Amz-…&X-Amz-Signature=…`.

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
    let timestamp = sigv4::timestamp(request.at);
    let scope = Scope {
        date: &timestamp[..8],
        region: &keys.region,
        service: SERVICE,
    };
    let credential = sigv4::encode(&format!("{}/{scope}", keys.access_key_id));
    let username = sigv4::encode(request.username);
    let expires = request.expires.as_secs().to_string();
    let session_token = keys.session_token.as_deref().map(sigv4::encode);

    let mut parameters = BTreeMap::from([
        (ACTION, CONNECT),
        (USER, &username),
        (X_ALGORITHM, ALGORITHM),
        (X_CREDENTIAL, &credential),
        (X_DATE, &timestamp),
        (X_EXPIRES, &expires),
        (X_SIGNED_HEADERS, HOST),
    ]);
    if let Some(session_token) = &session_token {
        parameters.insert(X_SECURITY_TOKEN, session_token);
    }
    let query = sigv4::query(parameters);

    let TokenRequest { host, port, .. } = *request;
    let signature = sign(keys, scope, &timestamp, host, port, &query)
        .finalize()
        .into_bytes();
    format!(
        "{host}:{port}/?{query}&{X_SIGNATURE}={}",
        hex::encode(signature)
    )
}

fn sign(
    keys: &AwsKeys,
    scope: Scope<'_>,
    timestamp: &str,
    host: &str,
    port: u16,
    query: &str,
) -> impl Mac {
    // HTTP leaves a scheme's default port out of the `Host` header, and so do the signers.
    let port = if port == HTTPS {
        String::new()
    } else {
        format!(":{port}")
    };
    let canonical_request = format!("GET\n/\n{query}\nhost:{host}{port}\n\n{HOST}\n{EMPTY_BODY}");
    sigv4::signature(
        &keys.secret_access_key,
        scope,
        timestamp,
        &canonical_request,
    )
}

const SERVICE: &str = "rds-db";
const CONNECT: &str = "connect";
const HOST: &str = "host";
const HTTPS: u16 = 443;
