//! The only type that holds a secret.

use std::fmt;

use zeroize::Zeroizing;

/// A password or IAM token: it cannot be printed, and its memory is wiped when it is dropped.
///
/// sqlx keeps a plain copy inside its connect options for as long as a connect takes; that copy
/// is outside our reach.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the secret over.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself; the one way to read it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

impl From<String> for Password {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Password {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let shown = format!(
            "{:?} {:#?}",
            Password::new("hunter2"),
            Some(Password::new("hunter2"))
        );
        assert!(!shown.contains("hunter2"));
        assert!(shown.contains("redacted"));
    }
}
