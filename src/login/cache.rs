//! The current login, read without a lock and replaced whole.

use std::sync::Arc;
#[cfg(not(shuttle))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
#[cfg(shuttle)]
use shuttle::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::clock::{Clock, Moment};
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
    /// What was handed out last, for as long as nothing newer was.
    last: Option<Arc<Login>>,
    refused: Option<Arc<Login>>,
    failure: Option<LoginError>,
    failed_at: Option<Moment>,
}

/// How long a refresh may take while the old login lives, and how long none is tried after one
/// that failed.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(5);

impl Flight {
    fn is_paused(&self, now: Moment) -> bool {
        self.failed_at
            .is_some_and(|failed| now.since(failed) < PAUSE)
    }
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
    /// While the old login lives, a refresh that fails or hangs is traced and put off, and the old
    /// login is used.
    ///
    /// # Errors
    ///
    /// The provider's, where no login lives.
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
        let seen = self.landed.load(Ordering::Acquire);
        let Some(alive) = snapshot.filter(|_| reason == RefreshReason::Expiring) else {
            let flight = self.flight.lock().await;
            return self
                .refresh(flight, seen, reason, |current| current.is_fresh(now))
                .await;
        };
        // The old login will do while somebody is at it, or has just failed.
        let flight = match self.flight.try_lock() {
            Ok(flight) if !flight.is_paused(self.clock.now()) => flight,
            _ => return Ok(alive),
        };
        let refresh = self.refresh(flight, seen, reason, |current| current.is_fresh(now));
        match timeout(PATIENCE, refresh).await {
            Ok(Ok(login)) => return Ok(login),
            Ok(Err(_)) => {}
            Err(_) => {
                let error = LoginError::new("its source has not answered in time");
                telemetry::refresh_failed(reason, &error, PATIENCE);
            }
        }
        if let Ok(mut flight) = self.flight.try_lock() {
            flight.failed_at = Some(self.clock.now());
        }
        let now = self.clock.now().wall();
        telemetry::refresh_put_off(alive.facts(now));
        Ok(alive)
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
        // the meantime stays. None can come between, since only this task refreshes.
        let is_refused = |current: &Login| current.generation() == refused.generation();
        if self.current.load().as_deref().is_some_and(is_refused) {
            self.current.store(None);
            flight.refused = Some(Arc::clone(refused));
        }
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
        let result = result.and_then(|login| {
            if !login.is_alive(self.clock.now().wall()) {
                return Err(LoginError::new(
                    "its source handed out one that has expired",
                ));
            }
            let copies = |last: &Arc<Login>| last.is_same_version(&login);
            if !flight.last.as_ref().is_some_and(copies) {
                flight.generation += 1;
            }
            let now = self.clock.now().wall();
            Ok(Arc::new(login.enter(flight.generation, now, self.margin)))
        });
        match &result {
            Ok(login) => {
                flight.last = Some(Arc::clone(login));
                flight.refused = None;
                flight.failure = None;
                flight.failed_at = None;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::SystemTime;

    use tokio::sync::Semaphore;

    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;
    const LIFE: Duration = Duration::from_secs(900);
    const MARGIN: Duration = Duration::from_secs(60);

    /// A source that counts, waits for permits and fails when told to.
    #[derive(Clone)]
    struct Source {
        clock: Clock,
        asked: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        failing: Arc<std::sync::atomic::AtomicBool>,
    }

    impl Source {
        fn cache(clock: &Clock) -> (Self, Arc<LoginCache>) {
            let this = Self {
                clock: clock.clone(),
                asked: Arc::default(),
                permits: Arc::new(Semaphore::new(1_000)),
                failing: Arc::default(),
            };
            let source = this.clone();
            let provider = SharedLoginProvider::new(move || source.clone().provide());
            (
                this,
                Arc::new(LoginCache::new(provider, clock.clone(), MARGIN)),
            )
        }

        async fn provide(self) -> Result<Login, LoginError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let Ok(permit) = self.permits.acquire().await else {
                unreachable!()
            };
            permit.forget();
            if self.failing.load(Ordering::SeqCst) {
                return Err(LoginError::new(format!("attempt {number} failed")));
            }
            let expires_at = self.clock.now().wall() + LIFE;
            Ok(Login::new("app", format!("password {number}")).with_expiry(expires_at))
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        /// Waits until the source is being asked for the `n`-th time.
        async fn is_asked(&self, n: usize) {
            while self.asked() < n {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_login_is_used_until_a_minute_before_it_expires() {
        let clock = Clock::manual(START);
        let (source, cache) = Source::cache(&clock);
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        clock.advance(LIFE - MARGIN - Duration::from_secs(1));
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        assert_eq!(source.asked(), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.login().await.unwrap().generation(), 2);
    }

    #[tokio::test]
    async fn a_process_that_was_frozen_finds_a_new_login() {
        let clock = Clock::manual(START);
        let (_, cache) = Source::cache(&clock);
        cache.login().await.unwrap();
        clock.freeze(Duration::from_secs(3_600));
        let login = cache.login().await.unwrap();
        assert_eq!(login.generation(), 2);
        assert!(login.is_alive(clock.now().wall()));
    }

    #[tokio::test]
    async fn a_crowd_that_finds_no_login_makes_one() {
        let (source, cache) = Source::cache(&Clock::manual(START));
        source.permits.forget_permits(1_000);
        let crowd: Vec<_> = (0..64)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { cache.login().await.unwrap().generation() })
            })
            .collect();
        source.is_asked(1).await;
        source.permits.add_permits(64);
        for member in crowd {
            assert_eq!(member.await.unwrap(), 1);
        }
        assert_eq!(source.asked(), 1);
    }

    #[tokio::test]
    async fn a_crowd_that_is_refused_makes_one_new_login() {
        let (source, cache) = Source::cache(&Clock::manual(START));
        let refused = cache.login().await.unwrap();
        let crowd: Vec<_> = (0..64)
            .map(|_| {
                let (cache, refused) = (Arc::clone(&cache), Arc::clone(&refused));
                tokio::spawn(async move { cache.replace(&refused).await.unwrap().generation() })
            })
            .collect();
        for member in crowd {
            assert_eq!(member.await.unwrap(), 2);
        }
        assert_eq!(source.asked(), 2);
        // A latecomer who was refused with the first generation takes nothing away.
        assert_eq!(cache.replace(&refused).await.unwrap().generation(), 2);
        assert_eq!(cache.login().await.unwrap().generation(), 2);
    }

    #[tokio::test]
    async fn the_old_login_serves_while_it_lives_and_no_longer() {
        let clock = Clock::manual(START);
        let (source, cache) = Source::cache(&clock);
        cache.login().await.unwrap();
        source.failing.store(true, Ordering::SeqCst);
        clock.advance(LIFE - Duration::from_secs(1));
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        clock.advance(Duration::from_secs(1));
        let error = cache.login().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no login could be made: attempt 3 failed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_not_waited_for_while_the_old_login_lives() {
        let clock = Clock::manual(START);
        let (source, cache) = Source::cache(&clock);
        cache.login().await.unwrap();
        source.permits.forget_permits(1_000);
        clock.advance(LIFE - MARGIN);
        let begun = tokio::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(cache.login().await.unwrap().generation(), 1);
        }
        assert_eq!(begun.elapsed(), PATIENCE, "only the first waited");
        assert_eq!(source.asked(), 2);
        clock.advance(PAUSE);
        source.permits.add_permits(1);
        assert_eq!(cache.login().await.unwrap().generation(), 2);
    }

    #[tokio::test]
    async fn a_login_that_arrives_dead_is_an_error() {
        let clock = Clock::manual(START + LIFE);
        let provider = SharedLoginProvider::new(|| {
            std::future::ready(Ok(Login::new("app", "x").with_expiry(START + LIFE)))
        });
        let error = LoginCache::new(provider, clock, MARGIN)
            .login()
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("handed out one that has expired"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn others_use_the_old_login_while_one_refreshes() {
        let clock = Clock::manual(START);
        let (source, cache) = Source::cache(&clock);
        cache.login().await.unwrap();
        source.permits.forget_permits(1_000);
        clock.advance(LIFE - MARGIN);
        let first = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.login().await.unwrap().generation() }
        });
        source.is_asked(2).await;
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        source.permits.add_permits(1);
        assert_eq!(first.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_refused_login_is_not_used_again_when_no_other_can_be_made() {
        let (source, cache) = Source::cache(&Clock::manual(START));
        let refused = cache.login().await.unwrap();
        source.failing.store(true, Ordering::SeqCst);
        assert!(cache.replace(&refused).await.is_err());
        assert!(cache.login().await.is_err());
        source.failing.store(false, Ordering::SeqCst);
        assert_eq!(cache.login().await.unwrap().generation(), 2);
    }

    #[tokio::test]
    async fn those_who_waited_for_a_failing_refresh_share_its_failure() {
        let (source, cache) = Source::cache(&Clock::manual(START));
        source.permits.forget_permits(1_000);
        source.failing.store(true, Ordering::SeqCst);
        let mut crowd = Vec::new();
        for _ in 0..16 {
            let cache = Arc::clone(&cache);
            crowd.push(tokio::spawn(async move {
                cache.login().await.unwrap_err().to_string()
            }));
        }
        source.is_asked(1).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        source.permits.add_permits(1);
        for member in crowd {
            assert_eq!(
                member.await.unwrap(),
                "no login could be made: attempt 1 failed"
            );
        }
        assert_eq!(source.asked(), 1);
    }

    #[tokio::test]
    async fn a_cancelled_refresh_is_begun_again_by_the_next() {
        let (source, cache) = Source::cache(&Clock::manual(START));
        source.permits.forget_permits(1_000);
        let cancelled = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.login().await }
        });
        source.is_asked(1).await;
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        source.permits.add_permits(1);
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn a_short_login_is_used_for_half_its_life() {
        let clock = Clock::manual(START);
        let asked = Arc::new(AtomicUsize::new(0));
        let provider = SharedLoginProvider::new({
            let (clock, asked) = (clock.clone(), Arc::clone(&asked));
            move || {
                asked.fetch_add(1, Ordering::SeqCst);
                let expires_at = clock.now().wall() + Duration::from_secs(10);
                std::future::ready(Ok(Login::new("app", "x").with_expiry(expires_at)))
            }
        });
        let cache = LoginCache::new(provider, clock.clone(), MARGIN);
        cache.login().await.unwrap();
        clock.advance(Duration::from_secs(4));
        assert_eq!(cache.login().await.unwrap().generation(), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.login().await.unwrap().generation(), 2);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
