//! What the connections of one pool share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::budget::Budget;
use crate::ceiling::Ceiling;
use crate::census::Census;
use crate::clock::{Clock, Moment};
use crate::connect_options::ConnectOptions;
use crate::engine::Engine;
use crate::epoch::Epochs;
use crate::login::Login;
use crate::options::PoolOptions;
use crate::queue::Queue;

/// Held by the manager and by every connection, so that a connection which comes back can be judged
/// without asking for its pool.
pub(crate) struct Shared<DB: Engine> {
    pub(crate) clock: Clock,
    pub(crate) options: PoolOptions<DB>,
    /// Whether a prepared statement lives no longer than its transaction.
    pub(crate) loses_statements: bool,
    /// So that ping timeouts do not add up: idle connections from before a failure are dropped
    /// unpinged.
    pub(crate) epochs: Epochs,
    pub(crate) census: Census,
    pub(crate) queue: Queue,
    ceiling: Mutex<Ceiling>,
    budget: Arc<Budget>,
    /// Connections whose login is of an older generation are retired.
    wanted_generation: AtomicU64,
    /// Connections that are open and the pool's.
    pub(crate) live: AtomicUsize,
    pub(crate) closed: watch::Sender<bool>,
    began: Moment,
    /// When idle connections were last looked through, in milliseconds since `began`.
    swept: AtomicU64,
}

impl<DB: Engine> Shared<DB> {
    /// `max_open` is what the ceiling starts from.
    pub(crate) fn new(
        target: &ConnectOptions<DB>,
        options: PoolOptions<DB>,
        max_open: usize,
    ) -> Self {
        let clock = target.clock.clone();
        Self {
            began: clock.now(),
            swept: AtomicU64::new(0),
            clock,
            loses_statements: target.loses_statements(),
            epochs: Epochs::default(),
            census: Census::default(),
            queue: Queue::default(),
            ceiling: Mutex::new(Ceiling::new(max_open)),
            budget: Arc::default(),
            wanted_generation: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
            options,
        }
    }

    /// Held for arithmetic only.
    pub(crate) fn ceiling(&self) -> MutexGuard<'_, Ceiling> {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What retries may cost.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Notes which login a new connection used, where the older ones are to follow it.
    pub(crate) fn logged_in(&self, login: Option<&Login>) {
        let Some(login) = login else { return };
        let retire = self.options.retire_on_rotation;
        if retire.unwrap_or(login.version().is_some()) {
            self.wanted_generation
                .fetch_max(login.generation(), Ordering::Relaxed);
        }
    }

    /// Whether a connection with a login of this generation has been overtaken by a rotation.
    pub(crate) fn retires(&self, generation: u64) -> bool {
        generation < self.wanted_generation.load(Ordering::Relaxed)
    }

    /// Whether idle connections should be looked through: at most once a second.
    ///
    /// The pool takes the connection that was used last, so those at the other end are never met
    /// by `recycle`.
    pub(crate) fn sweep_is_due(&self, now: Moment) -> bool {
        // Every connection that comes back asks, so there is no lock, and most often only a read.
        let now = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        let swept = self.swept.load(Ordering::Relaxed);
        // Either way: a wall clock may be set back.
        now.abs_diff(swept) >= 1_000
            && self
                .swept
                .compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
