//! Settings of a pool, under sqlx's names.

use std::fmt;
use std::time::Duration;

use log::LevelFilter;

use crate::cap::Cap;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::hooks::Hooks;
use crate::plan::Plan;

mod callbacks;

/// Settings of a [`Pool`](crate::Pool), with the names and meanings of [`sqlx::pool::PoolOptions`].
pub struct PoolOptions<DB: Engine> {
    pub(crate) max_connections: u32,
    pub(crate) min_connections: u32,
    pub(crate) guaranteed_connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) max_waiters: Option<usize>,
    pub(crate) acquire_time_level: LevelFilter,
    pub(crate) acquire_slow_level: LevelFilter,
    pub(crate) acquire_slow_threshold: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) test_before_acquire: bool,
    pub(crate) ping_after: Duration,
    pub(crate) ping_timeout: Duration,
    /// As the login asks for where it is not said.
    pub(crate) retire_on_rotation: Option<bool>,
    /// Whether a task lets unused connections go and keeps `min_connections`.
    pub(crate) keeps_house: bool,
    pub(crate) hooks: Hooks<DB>,
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
            max_connections: Cap::of(|name| std::env::var(name).ok()).max_connections,
            min_connections: 0,
            guaranteed_connections: 0,
            acquire_timeout: Duration::from_secs(30),
            max_waiters: None,
            acquire_time_level: LevelFilter::Off,
            acquire_slow_level: LevelFilter::Warn,
            acquire_slow_threshold: Duration::from_secs(2),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            test_before_acquire: true,
            ping_after: Duration::from_millis(100),
            ping_timeout: Duration::from_secs(2),
            retire_on_rotation: None,
            keeps_house: true,
            hooks: Hooks::default(),
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

    /// How many connections the pool keeps open, used or not; never more than
    /// [`max_connections`](Self::max_connections). Default: 0.
    ///
    /// `connect` opens them before it returns; a task opens others where some were lost, and for a
    /// lazy pool, from its first use in a runtime.
    #[must_use]
    pub fn min_connections(mut self, min: u32) -> Self {
        self.min_connections = min;
        self
    }

    /// How many connections the pool keeps open.
    #[must_use]
    pub fn get_min_connections(&self) -> u32 {
        self.min_connections
    }

    /// How many of the connections that several pools share this one can count on. Default: 0.
    ///
    /// With [`ConnectOptions::max_connections`](crate::ConnectOptions::max_connections): others never
    /// take them, so that a batch's pool cannot starve the requests'. They are not opened ahead of
    /// use; that is [`min_connections`](Self::min_connections).
    #[must_use]
    pub fn guaranteed_connections(mut self, guaranteed: u32) -> Self {
        self.guaranteed_connections = guaranteed;
        self
    }

    /// The level at which every acquire is logged with its time. Default: off.
    #[must_use]
    pub fn acquire_time_level(mut self, level: LevelFilter) -> Self {
        self.acquire_time_level = level;
        self
    }

    /// The level at which an acquire that took longer than
    /// [`acquire_slow_threshold`](Self::acquire_slow_threshold) is logged. Default: warn.
    #[must_use]
    pub fn acquire_slow_level(mut self, level: LevelFilter) -> Self {
        self.acquire_slow_level = level;
        self
    }

    /// From when on an acquire counts as slow. Default: 2 s.
    #[must_use]
    pub fn acquire_slow_threshold(mut self, threshold: Duration) -> Self {
        self.acquire_slow_threshold = threshold;
        self
    }

    /// From when on an acquire counts as slow.
    #[must_use]
    pub fn get_acquire_slow_threshold(&self) -> Duration {
        self.acquire_slow_threshold
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

    /// How many tasks may wait for a connection; one more is told [`Overloaded`](crate::Overloaded)
    /// at once. Default: `None`, any number, as in sqlx. 0: nobody waits.
    ///
    /// Those for whom a connection is being opened or tested do not count. A queue that is longer
    /// than the pool can serve within the callers' patience only makes everybody late: a service
    /// does better by answering `503` to some, see
    /// [`ErrorKind::http_status`](crate::ErrorKind::http_status).
    #[must_use]
    pub fn max_waiters(mut self, max: impl Into<Option<usize>>) -> Self {
        self.max_waiters = max.into();
        self
    }

    /// How many tasks may wait for a connection.
    #[must_use]
    pub fn get_max_waiters(&self) -> Option<usize> {
        self.max_waiters
    }

    /// How old a connection may become. It is closed when it is next idle.
    /// Default: 30 min; `None` for no limit.
    ///
    /// Each connection draws a lifetime up to 10 % shorter, so that those that were opened together
    /// are not replaced together. Age is the larger of what the wall clock and the monotonic clock
    /// say.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = lifetime.into();
        self
    }

    /// How old a connection may become.
    #[must_use]
    pub fn get_max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    /// How long a connection may stay unused before it is closed.
    /// Default: 10 min; `None` for no limit.
    ///
    /// Zero closes each as soon as it comes back and nobody waits for it: where the workers are more
    /// than the connections, one that is kept unused keeps another worker waiting.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// How long a connection may stay unused.
    #[must_use]
    pub fn get_idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// Whether a connection that was unused for [`ping_after`](Self::ping_after) is pinged before
    /// it is handed out. Default: true.
    ///
    /// sqlx pings every time. A busy connection proves itself by its work, and is not pinged here;
    /// for sqlx's way say `.ping_after(Duration::ZERO)`.
    #[must_use]
    pub fn test_before_acquire(mut self, test: bool) -> Self {
        self.test_before_acquire = test;
        self
    }

    /// Whether a connection that was unused for a while is pinged before it is handed out.
    #[must_use]
    pub fn get_test_before_acquire(&self) -> bool {
        self.test_before_acquire
    }

    /// Whether connections of an older login are closed, as they come back, once a connection has
    /// logged in with a newer one. Default: only where the login has a
    /// [version](crate::Login::with_version), as those of secrets have.
    ///
    /// A rotated secret should not live on in open connections, and alternating users change their
    /// rights with their name. An IAM token matters at the login only, and there is a new one every
    /// 14 minutes.
    #[must_use]
    pub fn retire_on_rotation(mut self, retire: bool) -> Self {
        self.retire_on_rotation = Some(retire);
        self
    }

    /// How long a connection may stay unused before it is pinged when it is next asked for.
    /// Default: 100 ms; zero pings always.
    #[must_use]
    pub fn ping_after(mut self, idle: Duration) -> Self {
        self.ping_after = idle;
        self
    }

    /// How long a ping may take before its connection counts as dead. Default: 2 s. More than 0.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = timeout;
        self
    }

    /// What a [`Plan`] says: `max_connections`, `acquire_timeout`, `idle_timeout` and
    /// `max_lifetime`. What is set after it counts.
    ///
    /// The rest of it is for [`ConnectOptions::plan`](crate::ConnectOptions::plan).
    #[must_use]
    pub fn plan(self, plan: &Plan) -> Self {
        self.max_connections(plan.max_connections)
            .acquire_timeout(plan.acquire_timeout)
            .idle_timeout(plan.idle_timeout)
            .max_lifetime(plan.max_lifetime)
    }

    pub(crate) fn keeps_none_idle(&self) -> bool {
        self.idle_timeout == Some(Duration::ZERO)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let zero = |setting, instead| ConfigError::OutOfRange {
            setting,
            given: "0".to_owned(),
            instead,
        };
        if self.max_connections == 0 {
            return Err(zero("max_connections", "1 or more"));
        }
        if self.guaranteed_connections > self.max_connections {
            return Err(ConfigError::OutOfRange {
                setting: "guaranteed_connections",
                given: self.guaranteed_connections.to_string(),
                instead: "no more than the pool's `max_connections`",
            });
        }
        if self.min_connections > 0 && self.keeps_none_idle() {
            return Err(ConfigError::Conflict(
                "`min_connections` keeps connections open, and an `idle_timeout` of zero closes \
                 them; leave one of them out",
            ));
        }
        if self.acquire_timeout.is_zero() {
            return Err(zero(
                "acquire_timeout",
                "how long an acquire may wait, as in 30 s",
            ));
        }
        if self.ping_timeout.is_zero() {
            return Err(zero("ping_timeout", "how long a ping may take, as in 2 s"));
        }
        Ok(())
    }
}

impl<DB: Engine> Clone for PoolOptions<DB> {
    fn clone(&self) -> Self {
        Self {
            hooks: self.hooks.clone(),
            ..*self
        }
    }
}

impl<DB: Engine> fmt::Debug for PoolOptions<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("max_connections", &self.max_connections)
            .field("min_connections", &self.min_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("max_waiters", &self.max_waiters)
            .field("max_lifetime", &self.max_lifetime)
            .field("idle_timeout", &self.idle_timeout)
            .field("test_before_acquire", &self.test_before_acquire)
            .field("retire_on_rotation", &self.retire_on_rotation)
            .field("ping_after", &self.ping_after)
            .field("ping_timeout", &self.ping_timeout)
            .finish_non_exhaustive()
    }
}
