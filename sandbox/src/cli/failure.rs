//! Why a command failed, in a sentence for its user.

use std::error::Error;
use std::fmt;

/// Why a command failed, in a sentence for its user.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// There is no sandbox to do anything with.
    pub(crate) fn no_sandbox(evidence: impl fmt::Display) -> Self {
        Self(format!(
            "no sandbox is running: {evidence}; start one with `rds-sandbox up`"
        ))
    }

    /// For `map_err`: says what was tried, and then what each error in the chain has to add.
    pub(crate) fn to<E: Error>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("cannot {what}: {}", Self::from_chain(&error)))
    }

    fn from_chain(error: &dyn Error) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            sentence += &format!(": {error}");
            cause = error.source();
        }
        Self(sentence)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<sqlx_rds_sandbox::Error> for Failure {
    fn from(error: sqlx_rds_sandbox::Error) -> Self {
        Self::from_chain(&error)
    }
}
