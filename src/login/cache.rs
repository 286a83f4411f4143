//! The current login, read without a lock and replaced whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, MutexGuard};

use crate::clock::Clock;
use crate::error::LoginError;
use crate::login::{Login, SharedLoginProvider};
use crate::telemetry::{self, RefreshReason};

/// Holds the login that connects use, and replaces it when it is about to expire or was refused.
///
/// Nothing runs in the background: a process that was frozen for an hour finds the login expired
/// at its next connect and replaces it there.
#[derive(Debug)]
pub(crate) struct LoginCache {
    provider: SharedLoginProvider,
    clock: Clock,
    margin: Duration,
    current: ArcSwapOption<Login>,
    /// Held by the one task that refreshes. Async, since it is held while the provider works.
    flight: Mutex<Flight>,
    /// Refreshes that have ended, so that a task which waited can tell that one did.
    landed: AtomicU64,
}

/// What only the refreshing task touches.
#[derive(Debug, Default)]
struct Flight {
    generation: u64,
    refused: Option<Arc<Login>>,
    failure: Option<LoginError>,
}

impl LoginCache {
    /// A cache that wants a newer login `margin` before the current one expires.
    pub(crate) fn new(provider: SharedLoginProvider, clock: Clock, margin: Duration) -> Self {
        Self {
            provider,
            clock,
            margin,
            current: ArcSwapOption::empty(),
            flight: Mutex::default(),
            landed: AtomicU64::new(0),
        }
    }

    /// The login to connect with, made first if there is none that lives long enough.
    ///
    /// # Errors
    ///
    /// The provider's, unless the old login still lives: then that one is used and the failure
    /// traced.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the next caller refreshes in its place.
    pub(crate) async fn login(&self) -> Result<Arc<Login>, LoginError> {
        let snapshot = self.current.load_full();
        let now = self.clock.now().wall();
        let reason = match &snapshot {
            Some(login) if login.is_fresh(now) => return Ok(Arc::clone(login)),
            Some(login) if login.is_alive(now) => RefreshReason::Expiring,
            Some(_) => RefreshReason::Expired,
            None => RefreshReason::Missing,
        };
        let alive = snapshot.filter(|_| reason == RefreshReason::Expiring);

        let seen = self.landed.load(Ordering::Acquire);
        let flight = match (&alive, self.flight.try_lock()) {
            (_, Ok(flight)) => flight,
            // Somebody is at it already, and the old login will do meanwhile.
            (Some(alive), Err(_)) => return Ok(Arc::clone(alive)),
            (None, Err(_)) => self.flight.lock().await,
        };
        let refreshed = self.refresh(flight, seen, reason, |current| current.is_fresh(now));
        match (refreshed.await, alive) {
            (Err(_), Some(alive)) => {
                telemetry::refresh_put_off(alive.facts(now));
                Ok(alive)
            }
            (result, _) => result,
        }
    }

    /// The login to try after the server refused `refused`: the current one if that is newer, else
    /// a new one.
    ///
    /// # Errors
    ///
    /// The provider's: a refused login is never used again.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: `refused` stays invalid, and the next caller refreshes.
    pub(crate) async fn replace(&self, refused: &Arc<Login>) -> Result<Arc<Login>, LoginError> {
        let seen = self.landed.load(Ordering::Acquire);
        let mut flight = self.flight.lock().await;
        // Only the refused generation is taken away: a newer one that another task put there in
        // the meantime stays.
        let current = self.current.compare_and_swap(refused, None);
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, refused))
        {
            flight.refused = Some(Arc::clone(refused));
        }
        drop(current);
        self.refresh(flight, seen, RefreshReason::Refused, |current| {
            current.generation() != refused.generation()
        })
        .await
    }

    /// Makes a new login unless the task before us left one that `suits`.
    async fn refresh(
        &self,
        mut flight: MutexGuard<'_, Flight>,
        seen: u64,
        reason: RefreshReason,
        suits: impl Fn(&Login) -> bool,
    ) -> Result<Arc<Login>, LoginError> {
        // The task that held the lock before may have done our work, or learnt that it fails.
        if let Some(current) = self.current.load_full().filter(|current| suits(current)) {
            return Ok(current);
        }
        if self.landed.load(Ordering::Acquire) != seen
            && let Some(failure) = &flight.failure
        {
            return Err(failure.clone());
        }

        let started = Instant::now();
        let refused = flight.refused.clone();
        let result = self.provider.provide_login(refused.as_deref()).await;
        let result = result.map(|login| {
            flight.generation += 1;
            Arc::new(login.enter(flight.generation, self.clock.now().wall(), self.margin))
        });
        match &result {
            Ok(login) => {
                flight.refused = None;
                flight.failure = None;
                self.current.store(Some(Arc::clone(login)));
                let facts = login.facts(self.clock.now().wall());
                telemetry::refreshed(facts, reason, started.elapsed());
            }
            Err(error) => {
                flight.failure = Some(error.clone());
                telemetry::refresh_failed(reason, error, started.elapsed());
            }
        }
        self.landed.fetch_add(1, Ordering::Release);
        result
    }
}
