//! What the connections of one pool share.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::census::Census;
use crate::clock::{Clock, Moment};
use crate::engine::Engine;
use crate::epoch::Epochs;
use crate::options::PoolOptions;

/// Held by the manager and by every connection, so that a connection which comes back can be judged
/// without asking for its pool.
pub(crate) struct Shared<DB: Engine> {
    pub(crate) clock: Clock,
    pub(crate) options: PoolOptions<DB>,
    /// So that ping timeouts do not add up: idle connections from before a failure are dropped
    /// unpinged.
    pub(crate) epochs: Epochs,
    pub(crate) census: Census,
    pub(crate) closed: watch::Sender<bool>,
    /// When idle connections were last looked through.
    swept: Mutex<Moment>,
}

impl<DB: Engine> Shared<DB> {
    pub(crate) fn new(options: PoolOptions<DB>, clock: Clock) -> Self {
        Self {
            swept: Mutex::new(clock.now()),
            clock,
            options,
            epochs: Epochs::default(),
            census: Census::default(),
            closed: watch::Sender::new(false),
        }
    }

    /// Whether idle connections should be looked through: at most once a second.
    ///
    /// The pool takes the connection that was used last, so those at the other end are never met
    /// by `recycle`.
    pub(crate) fn sweep_is_due(&self, now: Moment) -> bool {
        // Held for a comparison; who finds it held leaves the sweep to that one.
        let Ok(mut swept) = self.swept.try_lock() else {
            return false;
        };
        let due = now.since(*swept) >= Duration::from_secs(1);
        if due {
            *swept = now;
        }
        due
    }
}
