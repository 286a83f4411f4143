//! Connections through an RDS Proxy.

use super::ConnectOptions;
use crate::endpoint::Endpoint;
use crate::engine::{Engine, OptionsOf};
use crate::error::ConfigError;

impl<DB: Engine> ConnectOptions<DB> {
    /// What to paste as `InitQuery` into the proxy's target group, for [`rds_proxy`](Self::rds_proxy).
    ///
    /// On PostgreSQL it is empty: what sqlx needs of a session travels in startup parameters that
    /// the proxy knows (Amazon RDS user guide, "Connecting to a database through RDS Proxy").
    pub const INIT_QUERY: &'static str = DB::INIT_QUERY;

    /// For an RDS Proxy whose target group has the [`INIT_QUERY`](Self::INIT_QUERY).
    ///
    /// On MySQL sqlx then sends no `SET` after a login, which could pin the session: the proxy's
    /// init query says the same. Without it, `TIMESTAMP` columns come in the server's time zone.
    ///
    /// Whether by this call or by a host name as in `orders.proxy-ID.REGION.rds.amazonaws.com`,
    /// what a proxy refuses or pins is an error when a pool is built: `options` on PostgreSQL,
    /// [`idle_session_timeout`](Self::idle_session_timeout), and a pool's
    /// [`idle_timeout`](crate::PoolOptions::idle_timeout) of 30 min or more or
    /// [`max_lifetime`](crate::PoolOptions::max_lifetime) of 24 h or more, at which the proxy cuts.
    #[must_use]
    pub fn rds_proxy(mut self) -> Self {
        self.rds_proxy = true;
        self
    }

    /// Whether an RDS Proxy answers, and if so whether these settings can work there.
    pub(crate) fn check_proxy(&self, endpoint: Option<&Endpoint>) -> Result<bool, ConfigError> {
        if !self.rds_proxy && !endpoint.is_some_and(Endpoint::is_rds_proxy) {
            return Ok(false);
        }
        if DB::has_startup_options(&self.options) {
            return Err(ConfigError::Conflict(
                "RDS Proxy refuses connections that set `options`, in the URL, by `.options(..)` or \
                 in PGOPTIONS; leave them out, and put the settings into the proxy's InitQuery or \
                 on the database role (ALTER ROLE .. SET)",
            ));
        }
        if self.idle_session_timeout.is_some() {
            return Err(ConfigError::Conflict(
                "`idle_session_timeout` is a session setting, which pins a connection of RDS Proxy \
                 to its client; leave it out, the proxy has its own IdleClientTimeout",
            ));
        }
        Ok(true)
    }

    /// sqlx's options as an RDS Proxy should see them.
    pub(crate) fn through_proxy(&self, options: OptionsOf<DB>) -> OptionsOf<DB> {
        if self.rds_proxy {
            DB::leave_to_init_query(options)
        } else {
            options
        }
    }
}
