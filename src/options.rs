//! Settings of a pool, under sqlx's names.

use std::marker::PhantomData;
use std::time::Duration;

use crate::cap;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::manager::Limits;

/// Settings of a [`Pool`](crate::Pool), with the names and meanings of [`sqlx::pool::PoolOptions`].
#[derive(Debug)]
pub struct PoolOptions<DB: Engine> {
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) limits: Limits,
    engine: PhantomData<fn() -> DB>,
}

impl<DB: Engine> Default for PoolOptions<DB> {
    fn default() -> Self {
        Self::new()
    }
}

impl<DB: Engine> PoolOptions<DB> {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: cap::default_max_connections(|name| std::env::var(name).ok()),
            acquire_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            engine: PhantomData,
        }
    }

    /// The most connections this pool holds, at least 1.
    ///
    /// Default: 10, as in sqlx; on AWS Lambda `AWS_LAMBDA_MAX_CONCURRENCY`, or 1, since an
    /// environment serves one invocation at a time.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// The most connections this pool holds.
    #[must_use]
    pub fn get_max_connections(&self) -> u32 {
        self.max_connections
    }

    /// How long an acquire may take, with waiting for a free connection and opening one.
    /// Default: 30 s. More than 0.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long an acquire may take.
    #[must_use]
    pub fn get_acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    /// How old a connection may become before it is replaced, when it is next asked for.
    /// Default: 30 min; `None` for no limit.
    ///
    /// Age is the larger of what the wall clock and the monotonic clock say.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.limits.max_lifetime = lifetime.into();
        self
    }

    /// How long a connection may stay unused before it is replaced, when it is next asked for.
    /// Default: 10 min; `None` for no limit.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.idle_timeout = timeout.into();
        self
    }

    /// How long a connection may stay unused before it is pinged when it is next asked for.
    /// Default: 100 ms; zero pings always.
    ///
    /// sqlx pings when it hands a connection out and again when it takes it back. A busy
    /// connection proves itself by its work, and is not pinged here.
    #[must_use]
    pub fn ping_after(mut self, idle: Duration) -> Self {
        self.limits.ping_after = idle;
        self
    }

    /// How long a ping may take before its connection counts as dead. Default: 2 s. More than 0.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.limits.ping_timeout = timeout;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let out_of_range = |setting, instead| ConfigError::OutOfRange {
            setting,
            given: "0".to_owned(),
            instead,
        };
        if self.max_connections == 0 {
            return Err(out_of_range("max_connections", "1 or more"));
        }
        if self.acquire_timeout.is_zero() {
            return Err(out_of_range(
                "acquire_timeout",
                "how long an acquire may wait, as in 30 s",
            ));
        }
        if self.limits.ping_timeout.is_zero() {
            return Err(out_of_range(
                "ping_timeout",
                "how long a ping may take, as in 2 s",
            ));
        }
        Ok(())
    }
}

impl<DB: Engine> Clone for PoolOptions<DB> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
