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
    /// # Errors
    ///
    /// As [`new`](Self::new), for scope and key together, with a `/` between them.
    pub fn within(self, scope: &str) -> Result<Self, ConfigError> {
        let key = Self::new(format!("{scope}/{}", self.text))?;
        Ok(Self {
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
