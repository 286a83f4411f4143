//! Connections through a PgBouncer in transaction mode.

use super::ConnectOptions;
use crate::engine::{Engine, OptionsOf};
use crate::error::ConfigError;

#[cfg(feature = "postgres")]
impl ConnectOptions<sqlx::Postgres> {
    /// For a PgBouncer in transaction mode, which lends a connection of the server for one
    /// transaction at a time. Not for RDS Proxy, which needs none of this.
    ///
    /// `max_prepared_statements` is PgBouncer's own setting of that name: 0 before version 1.21,
    /// which did not know it; 200 by default since 1.24 (PgBouncer, "Changelog"). See what yours
    /// says to `SHOW CONFIG`.
    ///
    /// Where it is more than 0, PgBouncer carries prepared statements from one connection of the
    /// server to the next, and sqlx works as ever. Each connect asks whether that is so, by one
    /// query, and fails with [`ConfigError::Conflict`] where it is not: without, a statement can
    /// meet another client's of the same name, and run that.
    ///
    /// With 0, a statement must be prepared and run within one transaction. So
    ///
    /// - a query straight on the pool runs in a transaction of its own, in four round trips where
    ///   it takes two; a stream that is dropped before its end undoes what its statement did.
    ///   Statements that no transaction allows, as `VACUUM`, go by [`sqlx::raw_sql`], which
    ///   prepares nothing, in one round trip;
    /// - [`begin`](crate::Pool::begin) clears the connection that it is lent of what other sqlx
    ///   clients prepared there, in the same round trip, and statements are not cached;
    /// - what hands out a bare connection is an error, since nothing could keep its statements
    ///   together: [`acquire`](crate::Pool::acquire), `sqlx_pool()`, `Migrator::run`.
    ///   [`try_acquire`](crate::Pool::try_acquire) finds none. Callbacks such as `after_connect`,
    ///   a bare [`Manager`](crate::Manager) and [`Connector::connect`](crate::Connector::connect)
    ///   do have one: use `raw_sql` there, or a transaction.
    ///
    /// In both cases sqlx's `extra_float_digits` is left out, which PgBouncer refuses (from
    /// PostgreSQL 12 on the server's default says the same), and what it refuses or would leave
    /// behind for other clients is an error when a pool is built: `options`, and
    /// [`idle_session_timeout`](Self::idle_session_timeout).
    #[must_use]
    pub fn pgbouncer(mut self, max_prepared_statements: u32) -> Self {
        self.pgbouncer = Some(max_prepared_statements);
        self
    }
}

impl<DB: Engine> ConnectOptions<DB> {
    /// Whether these settings can work through a PgBouncer, if one answers.
    pub(super) fn check_pgbouncer(&self) -> Result<(), ConfigError> {
        if self.pgbouncer.is_none() {
            return Ok(());
        }
        if self.rds_proxy {
            return Err(ConfigError::Conflict(
                "one of `pgbouncer` and `rds_proxy` can be what is dialled; leave the other out",
            ));
        }
        if DB::has_startup_options(&self.options) {
            return Err(ConfigError::Conflict(
                "PgBouncer refuses connections that set `options`, in the URL, by `.options(..)` or \
                 in PGOPTIONS; leave them out, and put the settings on the database role (ALTER \
                 ROLE .. SET)",
            ));
        }
        if self.idle_session_timeout.is_some() {
            return Err(ConfigError::Conflict(
                "`idle_session_timeout` would stay on a connection that PgBouncer lends to others; \
                 leave it out, PgBouncer has its own client_idle_timeout",
            ));
        }
        Ok(())
    }

    /// sqlx's options as a PgBouncer should see them.
    pub(super) fn through_pgbouncer(&self, options: OptionsOf<DB>) -> OptionsOf<DB> {
        match self.pgbouncer {
            Some(0) => DB::without_statements(DB::without_startup_parameters(options)),
            Some(_) => DB::without_startup_parameters(options),
            None => options,
        }
    }

    /// Whether prepared statements rely on what a PgBouncer is said to do.
    pub(crate) fn counts_on_pgbouncer(&self) -> bool {
        self.pgbouncer.is_some_and(|statements| statements > 0)
    }

    /// Whether a statement lives no longer than its transaction.
    pub(crate) fn loses_statements(&self) -> bool {
        self.pgbouncer == Some(0)
    }
}
