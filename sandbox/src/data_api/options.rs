//! How the Data API may differ from the usual one.

use std::time::Duration;

/// Settings for the [`DataApi`](crate::DataApi) of a sandbox.
///
/// ```
/// use std::time::Duration;
///
/// use sqlx_rds_sandbox::DataApiOptions;
///
/// let options = DataApiOptions::default().statement_timeout(Duration::from_secs(1));
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DataApiOptions {
    pub(super) statement_timeout: Duration,
    pub(super) correct_scanner: bool,
    pub(super) v1: bool,
}

impl Default for DataApiOptions {
    fn default() -> Self {
        Self {
            statement_timeout: Duration::from_secs(45),
            correct_scanner: false,
            v1: false,
        }
    }
}

impl DataApiOptions {
    /// How long a statement may run. Default: 45 s.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Finds parameters as one would wish. The service has two faults, which are on unless this is
    /// said: it looks for `:name` in dollar-quoted text, and takes the upper bound of an array's
    /// slice for a parameter.
    pub fn correct_scanner(mut self) -> Self {
        self.correct_scanner = true;
        self
    }

    /// Answers as the first Data API did, that of Aurora Serverless v1.
    ///
    /// It ignores the member `schema`, lets calls of one transaction wait for each other, runs
    /// several statements on PostgreSQL and answers with the first one's result, has a text for
    /// every type of PostgreSQL, and calls what the database and transactions say
    /// `BadRequestException`. What it does not play: arrays of arrays, and generated fields of a
    /// batch on PostgreSQL. Default: as the second.
    pub fn v1(mut self) -> Self {
        self.v1 = true;
        self
    }
}
