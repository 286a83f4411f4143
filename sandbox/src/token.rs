//! IAM auth tokens: made as AWS's tools make them, verified as RDS does.
//!
//! A token is a SigV4 query-presigned URL without its `https://`:
//! `host:port/?Action=connect&DBUser=…&X-Amz-…&X-Amz-Signature=…`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hmac::Mac;
use percent_encoding::percent_decode_str;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::aws::AwsKeys;
use crate::refusal::Refusal;
use crate::sigv4::{self, ALGORITHM, EMPTY_BODY, Scope, TERMINATOR};

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

/// Checks a token as the server `host:port` would for a login of `username`; returns its age.
///
/// The token lives while its age is below its lifetime: at 900 s sharp it is refused.
///
/// Stricter than SigV4 asks: a parameter that is unknown, given twice, or not in its one
/// canonical percent-encoding is refused. Whether RDS is as strict is not known, and a token that
/// needs lenience is none to rely on.
///
/// # Errors
///
/// The first reason found. Names are compared before the signature, so that a token for another
/// user is called that; times are judged after it, so that a forged date is called a forgery.
pub fn verify(
    token: &str,
    keys: &AwsKeys,
    host: &str,
    port: u16,
    username: &str,
    now: SystemTime,
) -> Result<Duration, Refusal> {
    if token.is_empty() {
        return Err(Refusal::EmptyPassword);
    }
    let (authority, query) = token
        .split_once("/?")
        .ok_or(Refusal::Malformed("no `/?`"))?;
    let mut parameters = Parameters::parse(query)?;
    parameters.expect(ACTION, CONNECT)?;
    parameters.expect(X_ALGORITHM, ALGORITHM)?;
    parameters.expect(X_SIGNED_HEADERS, HOST)?;

    check_endpoint(authority, host, port)?;
    let signed_user = parameters.text(USER)?;
    if signed_user != username {
        return Err(Refusal::WrongUser {
            token: signed_user,
            expected: username.to_owned(),
        });
    }

    let timestamp = parameters.text(X_DATE)?;
    let signed_at = parse_timestamp(&timestamp)?;
    let credential = parameters.text(X_CREDENTIAL)?;
    let scope = check_credential(&credential, &timestamp, keys)?;
    if parameters.optional_text(X_SECURITY_TOKEN)? != keys.session_token {
        return Err(Refusal::WrongSessionToken);
    }
    let lifetime = parse_lifetime(&parameters.text(X_EXPIRES)?)?;

    let signature = parse_signature(parameters.take(X_SIGNATURE)?)?;
    sign(
        keys,
        scope,
        &timestamp,
        host,
        port,
        &parameters.canonical_query(),
    )
    .verify_slice(&signature)
    .map_err(|_| Refusal::BadSignature)?;

    let age = check_future(signed_at, now)?;
    if age >= lifetime {
        return Err(Refusal::Expired { age, lifetime });
    }
    Ok(age)
}

/// The parameters of a token, each still encoded, in canonical order.
struct Parameters<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Parameters<'a> {
    fn parse(query: &'a str) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair
                .split_once('=')
                .ok_or(Refusal::Malformed("a parameter without `=`"))?;
            if !KNOWN.contains(&name) {
                return Err(Refusal::Malformed("an unknown parameter"));
            }
            if parameters.insert(name, value).is_some() {
                return Err(Refusal::Malformed("a parameter given twice"));
            }
        }
        Ok(Self(parameters))
    }

    fn expect(&self, name: &str, value: &str) -> Result<(), Refusal> {
        if self.0.get(name) == Some(&value) {
            Ok(())
        } else {
            Err(Refusal::Malformed(
                "not `Action=connect`, AWS4-HMAC-SHA256 over `host` alone",
            ))
        }
    }

    fn text(&self, name: &str) -> Result<String, Refusal> {
        self.optional_text(name)?
            .ok_or(Refusal::Malformed("a parameter is missing"))
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(encoded) = self.0.get(name) else {
            return Ok(None);
        };
        let text = percent_decode_str(encoded)
            .decode_utf8()
            .map_err(|_| Refusal::Malformed("a parameter is not UTF-8"))?;
        if sigv4::encode(&text) == **encoded {
            Ok(Some(text.into_owned()))
        } else {
            Err(Refusal::Malformed(
                "a parameter is not in canonical percent-encoding",
            ))
        }
    }

    fn take(&mut self, name: &str) -> Result<&'a str, Refusal> {
        self.0
            .remove(name)
            .ok_or(Refusal::Malformed("a parameter is missing"))
    }

    fn canonical_query(&self) -> String {
        sigv4::query(self.0.iter().map(|(name, value)| (*name, *value)))
    }
}

fn check_endpoint(authority: &str, host: &str, port: u16) -> Result<(), Refusal> {
    // Signers that build a real URL lose the port when it is the scheme's default.
    let (signed_host, signed_port) = authority
        .rsplit_once(':')
        .map_or((authority, HTTPS), |(host, port)| {
            (host, port.parse().unwrap_or_default())
        });
    if signed_port == 0 {
        return Err(Refusal::Malformed("the port is not a number"));
    }
    // Keeps whatever a client typed for a password out of the reason we print.
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if signed_host.len() > 255 || !signed_host.chars().all(is_host_character) {
        return Err(Refusal::Malformed("what stands before `/?` is not a host"));
    }
    if signed_host != host {
        return Err(Refusal::WrongHost {
            token: signed_host.to_owned(),
            expected: host.to_owned(),
        });
    }
    if signed_port != port {
        return Err(Refusal::WrongPort {
            token: signed_port,
            expected: port,
        });
    }
    Ok(())
}

fn check_credential<'a>(
    credential: &'a str,
    timestamp: &str,
    keys: &AwsKeys,
) -> Result<Scope<'a>, Refusal> {
    let parts: Vec<&str> = credential.split('/').collect();
    let [access_key_id, date, region, service, TERMINATOR] = parts[..] else {
        return Err(Refusal::Malformed(
            "the credential is not `key/date/region/service/aws4_request`",
        ));
    };
    if access_key_id != keys.access_key_id {
        return Err(Refusal::UnknownAccessKey);
    }
    if region != keys.region {
        return Err(Refusal::WrongRegion {
            token: region.to_owned(),
            expected: keys.region.clone(),
        });
    }
    if service != SERVICE {
        return Err(Refusal::WrongService(service.to_owned()));
    }
    if !timestamp.starts_with(date) || date.len() != DATE_LENGTH {
        return Err(Refusal::Malformed(
            "the credential's date is not the signing date",
        ));
    }
    Ok(Scope {
        date,
        region,
        service,
    })
}

fn parse_timestamp(text: &str) -> Result<SystemTime, Refusal> {
    PrimitiveDateTime::parse(text, TIMESTAMP)
        .map(|at| at.assume_utc().into())
        .map_err(|_| Refusal::Malformed("X-Amz-Date is not `YYYYMMDDTHHMMSSZ`"))
}

fn parse_lifetime(text: &str) -> Result<Duration, Refusal> {
    let seconds = text
        .parse()
        .map_err(|_| Refusal::Malformed("X-Amz-Expires is not a number"))?;
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(Refusal::Malformed("X-Amz-Expires is 0")),
        lifetime if lifetime > MAX_LIFETIME => Err(Refusal::LifetimeTooLong(lifetime)),
        lifetime => Ok(lifetime),
    }
}

fn parse_signature(text: &str) -> Result<Vec<u8>, Refusal> {
    let is_upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode(text)
        .ok()
        .filter(|_| !is_upper)
        .ok_or(Refusal::Malformed("the signature is not lower-case hex"))
}

/// Returns the age of a token; one from a tolerable future counts as new.
fn check_future(signed_at: SystemTime, now: SystemTime) -> Result<Duration, Refusal> {
    now.duration_since(signed_at)
        .or_else(|ahead| match ahead.duration() {
            ahead if ahead > FUTURE_TOLERANCE => Err(Refusal::NotYetValid(ahead)),
            _ => Ok(Duration::ZERO),
        })
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
const DATE_LENGTH: usize = "YYYYMMDD".len();
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!(version = 2, "[year][month][day]T[hour][minute][second]Z");

const ACTION: &str = "Action";
const USER: &str = "DBUser";
const X_ALGORITHM: &str = "X-Amz-Algorithm";
const X_CREDENTIAL: &str = "X-Amz-Credential";
const X_DATE: &str = "X-Amz-Date";
const X_EXPIRES: &str = "X-Amz-Expires";
const X_SECURITY_TOKEN: &str = "X-Amz-Security-Token";
const X_SIGNATURE: &str = "X-Amz-Signature";
const X_SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const KNOWN: [&str; 9] = [
    ACTION,
    USER,
    X_ALGORITHM,
    X_CREDENTIAL,
    X_DATE,
    X_EXPIRES,
    X_SECURITY_TOKEN,
    X_SIGNATURE,
    X_SIGNED_HEADERS,
];
