//! How many connections are opened, how fast, and for how long a server keeps them.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{BACKOFF, ConnectOptions};
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::quota::Quota;

impl<DB: Engine> ConnectOptions<DB> {
    /// Has the server end a session that says nothing for this long; whole seconds on MySQL.
    /// Default: `None`, as the server is set.
    ///
    /// A worker that is frozen, or whose machine is gone, cannot close its connections, and they
    /// keep others waiting. The server can: by `idle_session_timeout` of PostgreSQL 14 and newer,
    /// `wait_timeout` of MySQL and MariaDB, which are set after each login, at the cost of a round
    /// trip. Set the pool's [`idle_timeout`](crate::PoolOptions::idle_timeout) lower, so that it
    /// does not take a dead connection for an idle one. Not for RDS Proxy, which sessions with
    /// settings of their own pin.
    #[must_use]
    pub fn idle_session_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_session_timeout = timeout.into();
        self
    }

    /// What a [`Plan`] says: `max_connects_per_second`, `idle_session_timeout`, and how soon a
    /// server that was full is tried again. What is set after it counts.
    #[must_use]
    pub fn plan(mut self, plan: &Plan) -> Self {
        self.full_backoff = Backoff {
            initial: plan.full_retry,
            max: BACKOFF.max.max(plan.full_retry * 2),
        };
        self.max_connects_per_second(plan.max_connects_per_second)
            .idle_session_timeout(plan.idle_session_timeout)
    }

    /// How many connects may be under way at once. Default: 8, and on AWS Lambda 2 for each vCPU;
    /// `None` for any number.
    ///
    /// All pools over one [`Connector`](crate::Connector) share it.
    #[must_use]
    pub fn max_connecting(mut self, max: impl Into<Option<NonZeroU32>>) -> Self {
        self.max_connecting = max.into();
        self
    }

    /// How many connects may begin in a second, attempts that fail among them. Default: 20; `None`
    /// for any number.
    ///
    /// A second's worth may come at once; those after it keep their distance, with jitter. It is
    /// what one worker adds to the wave of logins after a failover: RDS serves about 200 IAM logins
    /// a second to all clients together (Amazon RDS user guide, "IAM database authentication"),
    /// Aurora DSQL 100. All pools over one [`Connector`](crate::Connector) share it.
    #[must_use]
    pub fn max_connects_per_second(mut self, max: impl Into<Option<NonZeroU32>>) -> Self {
        self.max_connects_per_second = max.into();
        self
    }

    /// How many connections all pools that are made of these options and their clones hold
    /// together. Default: no limit but each pool's own.
    ///
    /// A worker with a pool for requests, one for batches and one for administration says here what
    /// the worker may hold, and what each can count on by
    /// [`PoolOptions::guaranteed_connections`](crate::PoolOptions::guaranteed_connections). What is
    /// left goes to the pool that asks first; a pool that finds nothing left has another let go of a
    /// connection that is idle and not guaranteed. Connections of a genuine `sqlx::Pool`, of a bare
    /// [`Manager`](crate::Manager) and of [`Connector::connect`](crate::Connector::connect) do not
    /// count.
    ///
    /// Each call sets up a limit of its own: call it once, and clone.
    ///
    /// ```
    /// # #[cfg(feature = "postgres")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sqlx_rds::ConfigError> {
    /// use sqlx_rds::{ConnectOptions, Connector, PgPoolOptions};
    ///
    /// let options: ConnectOptions<sqlx::Postgres> =
    ///     "postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders".parse()?;
    /// let connector = Connector::new(options.max_connections(10))?;
    /// let requests = PgPoolOptions::new()
    ///     .max_connections(10)
    ///     .guaranteed_connections(6)
    ///     .build(connector.clone())?;
    /// let batch = PgPoolOptions::new().max_connections(4).build(connector)?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "postgres"))] fn main() {}
    /// ```
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.quota = Some(Quota::new(max));
        self
    }
}
