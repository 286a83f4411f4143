//! AWS Signature Version 4, from its specification.
//!
//! Written apart from any AWS crate on purpose: a verifier that shares code with the signer it
//! tests would share its mistakes.

use std::fmt::{self, Write};
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// SHA-256 of an empty body.
pub(crate) const EMPTY_BODY: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What one signature is good for. `Display` writes `date/region/service/aws4_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    /// `YYYYMMDD`, in UTC.
    pub(crate) date: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{TERMINATOR}",
            self.date, self.region, self.service
        )
    }
}

/// The last word of every scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// The signature over a canonical request, not yet finished.
///
/// Finish it to sign; to verify, use [`Mac::verify_slice`], which takes constant time.
pub(crate) fn signature(
    secret_access_key: &str,
    scope: Scope<'_>,
    timestamp: &str,
    canonical_request: &str,
) -> Hmac<Sha256> {
    let request_hash = hex::encode(Sha256::digest(canonical_request));
    let string_to_sign = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{request_hash}");

    let secret = format!("AWS4{secret_access_key}");
    let key = [scope.date, scope.region, scope.service, TERMINATOR]
        .iter()
        .fold(secret.into_bytes(), |key, part| {
            hmac(&key, part.as_bytes()).finalize().into_bytes().to_vec()
        });
    hmac(&key, string_to_sign.as_bytes())
}

/// Writes an instant as `YYYYMMDDTHHMMSSZ`, cutting fractions of a second off.
pub(crate) fn timestamp(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}

/// Percent-encodes all but letters, digits and `-._~`, with upper-case hex digits.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Joins encoded `name=value` pairs into a query.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        let separator = if query.is_empty() { "" } else { "&" };
        // Writing to a string cannot fail.
        let _ = write!(query, "{separator}{name}={value}");
    }
    query
}

fn hmac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_empty_body_hash_is_right() {
        assert_eq!(hex::encode(Sha256::digest("")), EMPTY_BODY);
    }

    #[test]
    fn timestamps_are_compact_utc() {
        assert_eq!(timestamp(UNIX_EPOCH), "19700101T000000Z");
        let later = UNIX_EPOCH + Duration::from_millis(1_767_225_599_900);
        assert_eq!(timestamp(later), "20251231T235959Z");
    }

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        assert_eq!(encode("Az09-._~"), "Az09-._~");
        assert_eq!(encode("a b/c+=é"), "a%20b%2Fc%2B%3D%C3%A9");
    }
}
