//! Transactions, each with a connection of its own, and their ends by the sandbox's clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::OwnedMutexGuard;

use super::exception::Exception;
use super::session::Session;
use crate::{Clock, Engine};

/// For how long a transaction lives without a call.
const IDLE: Duration = Duration::from_secs(180);

/// For how long it lives at all.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// All transactions that are open.
pub(super) struct Transactions {
    clock: Clock,
    open: Mutex<HashMap<String, Arc<Held>>>,
}

/// An open transaction.
pub(super) struct Held {
    pub(super) engine: Engine,
    /// `None` for that which the secret names.
    pub(super) database: Option<String>,
    session: Arc<tokio::sync::Mutex<Session>>,
    begun: SystemTime,
    last_call: Mutex<SystemTime>,
}

impl Held {
    /// The session: where it runs something, an error, or else a wait as in the first Data API.
    pub(super) async fn session(&self, waits: bool) -> Result<OwnedMutexGuard<Session>, Exception> {
        let session = Arc::clone(&self.session);
        match waits {
            true => Ok(session.lock_owned().await),
            false => session.try_lock_owned().map_err(|_| Exception::busy()),
        }
    }

    pub(super) fn touch(&self, now: SystemTime) {
        *self.last_call() = now;
    }

    fn last_call(&self) -> MutexGuard<'_, SystemTime> {
        self.last_call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When it ends if nobody calls. One that runs a statement is not idle.
    fn deadline(&self, now: SystemTime) -> SystemTime {
        let last_call = match self.session.try_lock() {
            Ok(_) => *self.last_call(),
            Err(_) => now,
        };
        (last_call + IDLE).min(self.begun + LIFETIME)
    }
}

impl Transactions {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { clock, open })
    }

    /// Keeps a session whose transaction has begun, and names it.
    pub(super) fn keep(
        self: &Arc<Self>,
        session: Session,
        engine: Engine,
        database: Option<String>,
    ) -> String {
        let now = self.clock.now();
        let held = Arc::new(Held {
            engine,
            database,
            session: Arc::new(tokio::sync::Mutex::new(session)),
            begun: now,
            last_call: Mutex::new(now),
        });
        let random: [[u8; 32]; 4] = rand::random();
        let id = STANDARD.encode(random.as_flattened());
        let watch = watch(Arc::downgrade(self), Arc::downgrade(&held), id.clone());
        tokio::spawn(watch);
        self.open().insert(id.clone(), held);
        id
    }

    /// A transaction that has not expired.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<Held>, Exception> {
        let held = self.open().get(id).cloned();
        let held = held.ok_or_else(|| Exception::transaction_not_found(id))?;
        let now = self.clock.now();
        if held.deadline(now) <= now {
            self.end(id).await;
            return Err(Exception::transaction_not_found(id));
        }
        held.touch(now);
        Ok(held)
    }

    pub(super) fn forget(&self, id: &str) {
        self.open().remove(id);
    }

    /// Rolls a transaction back and forgets it.
    pub(super) async fn end(&self, id: &str) {
        let held = self.open().remove(id);
        if let Some(held) = held {
            let mut session = held.session.lock().await;
            // Where it fails, the session is gone and the transaction with it.
            let _ = session.roll_back().await;
        }
    }

    /// Rolls all back, and tells how many they were.
    pub(super) async fn end_all(&self) -> usize {
        let ids: Vec<String> = self.open().keys().cloned().collect();
        for id in &ids {
            self.end(id).await;
        }
        ids.len()
    }

    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// Drops all without a word, as when the sandbox ends.
    pub(super) fn drop_all(&self) {
        self.open().clear();
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Held>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a transaction when its time is over, so that what it has locked is free.
async fn watch(transactions: Weak<Transactions>, held: Weak<Held>, id: String) {
    loop {
        let (deadline, clock) = {
            let (Some(transactions), Some(held)) = (transactions.upgrade(), held.upgrade()) else {
                return;
            };
            let now = transactions.clock.now();
            let deadline = held.deadline(now);
            if deadline <= now {
                transactions.end(&id).await;
                return;
            }
            (deadline, transactions.clock.clone())
        };
        clock.reached(deadline).await;
    }
}
