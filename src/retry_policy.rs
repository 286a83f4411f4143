//! How often, and for how long, a unit of work is tried again.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::backoff::Backoff;

/// How often, and for how long, [`Pool::transaction`](crate::Pool::transaction) and
/// [`Pool::retry`](crate::Pool::retry) try again.
///
/// Between attempts they wait with full jitter: a time drawn evenly from zero to a ceiling that
/// doubles with every attempt (AWS Architecture Blog, "Exponential Backoff And Jitter").
///
/// ```
/// use std::time::Duration;
/// use sqlx_rds::RetryPolicy;
///
/// let policy = RetryPolicy::new()
///     .max_attempts(5)
///     .timeout(Duration::from_secs(3));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) backoff: Backoff,
    pub(crate) timeout: Duration,
}

impl RetryPolicy {
    /// Three attempts within 10 s, with waits of up to 50 ms, 100 ms, ..
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_attempts: NonZeroU32::MIN.saturating_add(2),
            backoff: Backoff {
                initial: Duration::from_millis(50),
                max: Duration::from_secs(2),
            },
            timeout: Duration::from_secs(10),
        }
    }

    /// How often work is begun, the first time included. Default: 3; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// The ceiling of the first wait. Default: 50 ms.
    #[must_use]
    pub fn initial_backoff(mut self, wait: Duration) -> Self {
        self.backoff.initial = wait;
        self
    }

    /// The ceiling of every wait. Default: 2 s.
    #[must_use]
    pub fn max_backoff(mut self, wait: Duration) -> Self {
        self.backoff.max = wait;
        self
    }

    /// How long all attempts may take together, with their waits. Default: 10 s.
    ///
    /// In an invocation under the feature `lambda` it ends before the invocation does.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}
