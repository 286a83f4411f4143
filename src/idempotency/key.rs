//! The name of one piece of work.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::ConfigError;

/// Names one piece of work, so that doing it twice can be told from doing two of it.
///
/// It is chosen by whoever asks for the work, once, and stays the same however often it is asked for
/// again: the value of an `Idempotency-Key` header, the id of a message or event. Keys of different
/// kinds or tenants are kept apart by [`within`](Self::within).
///
/// ```
/// use sqlx_rds::IdempotencyKey;
///
/// # fn main() -> Result<(), sqlx_rds::ConfigError> {
/// let header = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";
/// let body = br#"{"item": 7, "quantity": 1}"#;
/// let key = IdempotencyKey::from_header(header)?.within("orders")?.for_request(body);
/// assert_eq!(key.as_str(), "orders/8e03978e-40d5-43dd-bc93-6894a57f9324");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    text: String,
    is_scoped: bool,
    fingerprint: Option<[u8; 32]>,
}

/// What the column takes.
const MAX_LENGTH: usize = 255;

impl IdempotencyKey {
    /// A key of 1 to 255 visible ASCII characters, without spaces.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for any other text. Answer a client with 400.
    pub fn new(text: impl Into<String>) -> Result<Self, ConfigError> {
        let text = text.into();
        let wrong = match text.len() {
            0 => Some("an empty text".to_owned()),
            length if length > MAX_LENGTH => Some(format!("a text of {length} characters")),
            _ => text
                .chars()
                .find(|c| !c.is_ascii_graphic())
                .map(|c| format!("a text with {c:?}")),
        };
        match wrong {
            None => Ok(Self {
                text,
                is_scoped: false,
                fingerprint: None,
            }),
            Some(given) => Err(ConfigError::OutOfRange {
                setting: "an idempotency key",
                given,
                instead: "1 to 255 visible ASCII characters, as a UUID; hash what is longer",
            }),
        }
    }

    /// The key in an `Idempotency-Key` header: in quotes, as the IETF's draft has it, or bare, as
    /// most clients send it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_header(value: &str) -> Result<Self, ConfigError> {
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Self::new(quoted.unwrap_or(value))
    }

    /// The same key among those of `scope` only: a tenant, an operation.
    ///
    /// A `/` stands between them; one inside of either is written `%2F`, and `%` as `%25`, so that
    /// no key that a client makes up leads into another scope. Use scopes for all keys of a table
    /// or for none: a key without one may look like one with.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), for scope and key together.
    pub fn within(self, scope: &str) -> Result<Self, ConfigError> {
        let text = if self.is_scoped {
            self.text
        } else {
            escaped(&self.text)
        };
        let key = Self::new(format!("{}/{text}", escaped(scope)))?;
        Ok(Self {
            is_scoped: true,
            fingerprint: self.fingerprint,
            ..key
        })
    }

    /// Ties the key to the request that it came with, by its SHA-256: the same key with another
    /// request is then [`IdempotencyError::KeyReused`](crate::IdempotencyError::KeyReused).
    #[must_use]
    pub fn for_request(mut self, request: impl AsRef<[u8]>) -> Self {
        self.fingerprint = Some(Sha256::digest(request).into());
        self
    }

    /// The key, with its scopes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn fingerprint(&self) -> Option<&[u8]> {
        self.fingerprint.as_ref().map(<[u8; 32]>::as_slice)
    }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for IdempotencyKey {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_with_and_without_quotes() {
        for header in ["\"a-1\"", " a-1 ", "a-1"] {
            assert_eq!(IdempotencyKey::from_header(header).unwrap().as_str(), "a-1");
        }
        for header in ["", "\"\"", "\"a b\"", "a\tb", "é", &"a".repeat(256)] {
            let error = IdempotencyKey::from_header(header).unwrap_err().to_string();
            assert!(error.contains("1 to 255 visible ASCII"), "{error}");
        }
    }

    #[test]
    fn a_scope_keeps_the_request_that_a_key_is_tied_to() {
        let key = IdempotencyKey::new("k").unwrap().for_request("r");
        let scoped = key.clone().within("s").unwrap();
        assert_eq!(scoped.fingerprint(), key.fingerprint());
        assert_ne!(scoped, key);
        assert!(key.within(&"s".repeat(254)).is_err());
    }

    proptest! {
        #[test]
        fn scopes_do_not_meet(
            scopes in prop::collection::vec("[a/%]{0,3}", 1..3),
            others in prop::collection::vec("[a/%]{0,3}", 1..3),
            key in "[a/%]{1,3}",
            other in "[a/%]{1,3}",
        ) {
            let scoped = |key: &str, scopes: &[String]| {
                let key = IdempotencyKey::new(key).unwrap();
                scopes.iter().fold(key, |key, scope| key.within(scope).unwrap())
            };
            let same = (&key, &scopes) == (&other, &others);
            prop_assert_eq!(scoped(&key, &scopes) == scoped(&other, &others), same);
        }

        #[test]
        fn a_key_is_its_text_or_an_error(text: String) {
            let fits = (1..=255).contains(&text.len())
                && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
            match IdempotencyKey::new(text.clone()) {
                Ok(key) => prop_assert!(fits && key.as_str() == text),
                Err(_) => prop_assert!(!fits),
            }
        }
    }
}
