//! Events of a pool.

use std::fmt::Display;
use std::time::Duration;

use log::LevelFilter;
use tracing::{Level, debug, info, warn};

use super::millis;

/// Why a pooled connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscardReason {
    /// It is older than `max_lifetime`.
    Lifetime,
    /// It was unused for longer than `idle_timeout`.
    Idle,
    /// Another pool, with which this one shares connections, needs one.
    Shared,
    /// It is dead.
    Lost,
    /// Its server is not the writer any more.
    Reader,
    /// A connection of its age was found dead or led to a reader.
    Epoch,
    /// It logged in with what has been rotated since.
    Generation,
    /// What was left on it could not be drained in time.
    Drain,
    /// A statement or transaction left it in a state that cannot be proven clean.
    Unclean,
    /// A callback did not want it.
    Rejected,
    /// It was closed on purpose.
    Closed,
    /// It has left the pool, open.
    Taken,
}

impl DiscardReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::Shared => "shared",
            Self::Lost => "lost",
            Self::Reader => "reader",
            Self::Epoch => "epoch",
            Self::Generation => "generation",
            Self::Drain => "drain",
            Self::Unclean => "unclean",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
            Self::Taken => "taken",
        }
    }

    /// Whether the conversation with the server can be ended in due form.
    pub(crate) fn leaves_in_order(self) -> bool {
        match self {
            Self::Lifetime
            | Self::Idle
            | Self::Shared
            | Self::Reader
            | Self::Epoch
            | Self::Generation
            | Self::Rejected
            | Self::Closed => true,
            Self::Lost | Self::Drain | Self::Unclean | Self::Taken => false,
        }
    }
}

/// A pooled connection was vetted by a ping.
pub(crate) fn recycled(idle_for: Duration) {
    debug!(target: "sqlx_rds::pool", idle_ms = millis(idle_for), "connection answered a ping");
}

/// A pooled connection was dropped.
pub(crate) fn discarded(reason: DiscardReason, generation: u64) {
    debug!(
        target: "sqlx_rds::pool",
        {
            reason = reason.as_str(),
            login.generation = generation,
        },
        "connection discarded"
    );
}

/// No connection became free in time.
pub(crate) fn acquire_timed_out(waited: Duration, size: usize, idle: usize, waiting: usize) {
    warn!(
        target: "sqlx_rds::pool",
        {
            waited_ms = millis(waited),
            size,
            idle,
            waiting,
        },
        "no connection became free in time"
    );
}

/// The server refused a login for good: none is tried for a while.
pub(crate) fn logins_suspended(pause: Duration) {
    warn!(target: "sqlx_rds::login", pause_ms = millis(pause), "logins are refused: pausing");
}

/// Logins are tried freely again.
pub(crate) fn logins_resumed() {
    info!(target: "sqlx_rds::login", "logins are no longer refused");
}

/// A task was turned away because too many wait for a connection.
pub(crate) fn overloaded(max_waiters: usize) {
    warn!(target: "sqlx_rds::pool", max_waiters, "too many tasks wait for a connection");
}

/// The server had no connection left, and the pool makes do with fewer for a while.
pub(crate) fn full(open: usize, limit: usize) {
    warn!(target: "sqlx_rds::pool", open, limit, "the server is full: holding fewer connections");
}

/// A connection was acquired; `threshold` where that took longer.
pub(crate) fn acquired(level: LevelFilter, took: Duration, threshold: Option<Duration>) {
    macro_rules! event {
        ($($filter:ident $level:ident),+) => {
            match level {
                LevelFilter::Off => {}
                $(LevelFilter::$filter => tracing::event!(
                    target: "sqlx_rds::pool",
                    Level::$level,
                    {
                        took_ms = millis(took),
                        slow_threshold_ms = threshold.map(millis),
                    },
                    "acquired connection"
                ),)+
            }
        };
    }
    event!(Error ERROR, Warn WARN, Info INFO, Debug DEBUG, Trace TRACE);
}

/// A callback of the app failed; its connection is closed.
pub(crate) fn callback_failed(callback: &'static str, error: &impl Display) {
    warn!(
        target: "sqlx_rds::pool",
        {
            callback,
            error = %error,
        },
        "callback failed"
    );
}

/// The pool holds fewer connections than it should, and could not open another.
pub(crate) fn below_min_connections(error: &impl Display) {
    warn!(
        target: "sqlx_rds::pool",
        {
            error = %error,
        },
        "min_connections could not be reached, trying again later"
    );
}

/// An invocation ended while the pool was still at work, or its connections in use.
#[cfg(feature = "lambda")]
pub(crate) fn unsettled(in_use: usize) {
    warn!(
        target: "sqlx_rds::pool",
        { in_use },
        "the pool had not settled when the invocation ended, and may be frozen so"
    );
}
