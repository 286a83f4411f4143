//! Signatures of requests to the sandbox's own AWS services.

use std::time::Duration;

use axum::http::HeaderMap;
use hmac::Mac;
use sha2::{Digest, Sha256};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::AwsKeys;
use crate::sigv4::{self, ALGORITHM, Scope, TERMINATOR};

/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_secs(300);

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// A `POST` as it came.
pub(crate) struct Signed<'r> {
    pub(crate) service: &'static str,
    pub(crate) path: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: &'r [u8],
    /// Headers that the signature must cover, beside those that every service wants.
    pub(crate) needed: &'static [&'static str],
}

/// Why a request is turned away, in AWS's words.
#[derive(Debug)]
pub(crate) struct Unsigned {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Unsigned {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    fn incomplete(what: &str) -> Self {
        Self::new(
            "IncompleteSignatureException",
            format!("Authorization header requires {what}"),
        )
    }

    fn mismatch() -> Self {
        Self::new(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )
    }
}

/// The first value of a header, or nothing.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

impl Signed<'_> {
    /// Verifies the signature in the header `Authorization`, over the headers that it names.
    pub(crate) fn verify(&self, keys: &AwsKeys) -> Result<(), Unsigned> {
        let &Self {
            service,
            path,
            headers,
            body,
            needed,
        } = self;
        let Some(fields) = text(headers, "authorization").strip_prefix(ALGORITHM) else {
            return Err(Unsigned::new(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ));
        };
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| Unsigned::incomplete(name))
        };
        let credential: Vec<&str> = field("Credential")?.split('/').collect();
        let wanted = format!("a Credential for {service}");
        let &[key, date, region, signed_service, TERMINATOR] = credential.as_slice() else {
            return Err(Unsigned::incomplete(&wanted));
        };
        if signed_service != service {
            return Err(Unsigned::incomplete(&wanted));
        }
        let token = keys.session_token.as_deref().unwrap_or_default();
        if key != keys.access_key_id || text(headers, "x-amz-security-token") != token {
            return Err(Unsigned::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        let signed = field("SignedHeaders")?;
        let names: Vec<&str> = signed.split(';').collect();
        let token = (!token.is_empty()).then_some("x-amz-security-token");
        let always = ["host", "x-amz-date"].into_iter().chain(token);
        let mut needed = always.chain(needed.iter().copied());
        if let Some(missing) = needed.find(|name| !names.contains(name)) {
            return Err(Unsigned::incomplete(missing));
        }

        let mut canonical = format!("POST\n{path}\n\n");
        for name in &names {
            let value = text(headers, name).split_whitespace().collect::<Vec<_>>();
            canonical += &format!("{name}:{}\n", value.join(" "));
        }
        let body = hex::encode(Sha256::digest(body));
        // Not all clients send it, but one that does must tell the truth.
        let told = text(headers, "x-amz-content-sha256");
        if !told.is_empty() && told != body {
            return Err(Unsigned::mismatch());
        }
        canonical += &format!("\n{signed}\n{body}");
        let scope = Scope {
            date,
            region,
            service,
        };
        if region != keys.region {
            return Err(Unsigned::new(
                "InvalidSignatureException",
                format!("Credential should be scoped to a valid region, not '{region}'."),
            ));
        }
        let timestamp = text(headers, "x-amz-date");
        let wanted = sigv4::signature(&keys.secret_access_key, scope, timestamp, &canonical);
        let shown = hex::decode(field("Signature")?).unwrap_or_default();
        let in_time = PrimitiveDateTime::parse(timestamp, TIMESTAMP).is_ok_and(|at| {
            let off = (OffsetDateTime::now_utc() - at.assume_utc()).unsigned_abs();
            off <= SKEW && timestamp.starts_with(date)
        });
        if wanted.verify_slice(&shown).is_err() || !in_time {
            return Err(Unsigned::mismatch());
        }
        Ok(())
    }
}
