//! Where a pool's connections lead.

use std::time::Duration;

use crate::connect_options::ConnectOptions;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::options::PoolOptions;
use crate::quota::Member;

/// Both by AWS's word: Amazon RDS user guide, "RDS Proxy connection considerations". The first is
/// the default of a setting; the second is not.
const PROXY_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const PROXY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Aurora DSQL user guide, "Quotas and limits".
const DSQL_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Where connections lead, or why none can be opened.
pub(crate) struct Target<DB: Engine> {
    pub(crate) options: ConnectOptions<DB>,
    pub(crate) connector: Result<Connector<DB>, ConfigError>,
}

impl<DB: Engine> Target<DB> {
    pub(crate) fn new(connector: Connector<DB>) -> Self {
        Self {
            options: connector.given().clone(),
            connector: Ok(connector),
        }
    }

    /// Whether connections of these ages can live where they lead.
    pub(crate) fn check(&self, pool: &PoolOptions<DB>) -> Result<(), ConfigError> {
        let Ok(connector) = &self.connector else {
            return Ok(());
        };
        let below = |time: Option<Duration>, limit| time.is_some_and(|time| time < limit);
        if connector.is_proxy() && !below(pool.idle_timeout, PROXY_IDLE_TIMEOUT) {
            return Err(ConfigError::OutOfRange {
                setting: "idle_timeout",
                given: format!("{:?}", pool.idle_timeout),
                instead: "less than the 30 min after which RDS Proxy cuts idle clients",
            });
        }
        if connector.is_proxy() && !below(pool.max_lifetime, PROXY_LIFETIME) {
            return Err(ConfigError::OutOfRange {
                setting: "max_lifetime",
                given: format!("{:?}", pool.max_lifetime),
                instead: "less than the 24 h after which RDS Proxy cuts every client",
            });
        }
        if connector.is_dsql() && !below(pool.max_lifetime, DSQL_LIFETIME) {
            return Err(ConfigError::OutOfRange {
                setting: "max_lifetime",
                given: format!("{:?}", pool.max_lifetime),
                instead: "less than the 60 min after which Aurora DSQL ends every session",
            });
        }
        Ok(())
    }

    /// The pool's part in what several pools share.
    pub(crate) fn join(&self, guaranteed: u32) -> Result<Option<Member>, ConfigError> {
        let Some(quota) = &self.options.quota else {
            return if guaranteed == 0 {
                Ok(None)
            } else {
                Err(ConfigError::Conflict(
                    "`guaranteed_connections` of a pool are a part of what pools share; give the \
                     connect options `max_connections`, or leave it out",
                ))
            };
        };
        quota
            .join(guaranteed)
            .map(Some)
            .map_err(|left| ConfigError::OutOfRange {
                setting: "guaranteed_connections",
                given: format!("{guaranteed} where {left} of {} are left", quota.max()),
                instead: "less, or raise `max_connections` of the connect options",
            })
    }
}

impl<DB: Engine> Clone for Target<DB> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            connector: self.connector.clone(),
        }
    }
}
