use std::time::{Duration, SystemTime};

use hmac::Mac;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::aws::AwsKeys;
use crate::refusal::Refusal;
use crate::sigv4::{ALGORITHM, Scope, TERMINATOR};

use super::parameters::{
    ACTION, Parameters, USER, X_ALGORITHM, X_CREDENTIAL, X_DATE, X_EXPIRES, X_SECURITY_TOKEN,
    X_SIGNATURE, X_SIGNED_HEADERS,
};
use super::{FUTURE_TOLERANCE, HOST, HTTPS, Service, sign};

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
    let service = Service::of(host);
    let mut parameters = Parameters::parse(query)?;
    parameters.expect(ACTION, service.action(username))?;
    parameters.expect(X_ALGORITHM, ALGORITHM)?;
    parameters.expect(X_SIGNED_HEADERS, HOST)?;

    match service {
        Service::Rds => {
            check_endpoint(authority, host, port)?;
            let signed_user = parameters.text(USER)?;
            if signed_user != username {
                return Err(Refusal::WrongUser {
                    token: signed_user,
                    expected: username.to_owned(),
                });
            }
        }
        Service::Dsql => {
            // It names neither port nor user.
            check_endpoint(authority, host, HTTPS)?;
            if authority.contains(':') || parameters.optional_text(USER)?.is_some() {
                return Err(Refusal::Malformed(
                    "a port or a user, which Aurora DSQL's tokens do not name",
                ));
            }
        }
    }

    let timestamp = parameters.text(X_DATE)?;
    let signed_at = parse_timestamp(&timestamp)?;
    let credential = parameters.text(X_CREDENTIAL)?;
    let scope = check_credential(&credential, &timestamp, keys, service)?;
    if parameters.optional_text(X_SECURITY_TOKEN)? != keys.session_token {
        return Err(Refusal::WrongSessionToken);
    }
    let lifetime = parse_lifetime(&parameters.text(X_EXPIRES)?, service)?;

    let signature = parse_signature(parameters.take(X_SIGNATURE)?)?;
    sign(
        keys,
        scope,
        &timestamp,
        &service.address(host, port),
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
    wanted: Service,
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
    if service != wanted.name() {
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

fn parse_lifetime(text: &str, service: Service) -> Result<Duration, Refusal> {
    let seconds = text
        .parse()
        .map_err(|_| Refusal::Malformed("X-Amz-Expires is not a number"))?;
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(Refusal::Malformed("X-Amz-Expires is 0")),
        lifetime if lifetime > service.max_lifetime() => Err(Refusal::LifetimeTooLong(lifetime)),
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

const DATE_LENGTH: usize = "YYYYMMDD".len();
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!(version = 2, "[year][month][day]T[hour][minute][second]Z");
