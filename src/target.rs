//! Where a pool's connections lead.

use crate::connect_options::ConnectOptions;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::quota::Member;

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
