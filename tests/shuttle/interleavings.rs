//! What tasks share, tried in thousands of interleavings, with a switch of tasks possible at each
//! poll and at each atomic operation.
//!
//! Built with `--cfg shuttle` only, which puts Shuttle's atomics in the place of the standard
//! library's. `ArcSwap` and tokio's locks are taken as one step each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use shuttle::future::{block_on, spawn, yield_now};

use crate::census::Census;
use crate::clock::Clock;
use crate::error::LoginError;
use crate::login::cache::LoginCache;
use crate::login::{Login, SharedLoginProvider};
use crate::queue::Queue;

/// Random schedules, and those that bring rare orders about.
fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || again(), 5_000);
    shuttle::check_pct(move || test(), 5_000, 3);
}

/// Counts how often it is asked, and notices when it is asked twice at a time.
#[derive(Default)]
struct Source {
    asked: AtomicUsize,
    busy: AtomicUsize,
}

struct Busy<'s>(&'s Source);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source {
    fn cache() -> (Arc<Self>, Arc<LoginCache>) {
        let source = Arc::new(Self::default());
        let asked = Arc::clone(&source);
        let provider = SharedLoginProvider::new(move || {
            let source = Arc::clone(&asked);
            async move { source.provide().await }
        });
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let cache = LoginCache::new(provider, clock, Duration::from_secs(60));
        (source, Arc::new(cache))
    }

    async fn provide(&self) -> Result<Login, LoginError> {
        assert_eq!(self.busy.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        let _busy = Busy(self);
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        yield_now().await;
        Ok(Login::new("app", format!("password {number}")))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn a_crowd_that_is_refused_makes_one_new_login() {
    explore(|| {
        let (source, cache) = Source::cache();
        let crowd: Vec<_> = (0..3)
            .map(|_| {
                let cache = Arc::clone(&cache);
                spawn(async move {
                    let login = cache.login().await.unwrap();
                    if login.generation() == 1 {
                        // The server takes no login but a newer one.
                        let newer = cache.replace(&login).await.unwrap();
                        assert_eq!(newer.generation(), 2);
                    }
                    assert_eq!(cache.login().await.unwrap().generation(), 2);
                })
            })
            .collect();
        block_on(async {
            for member in crowd {
                member.await.unwrap();
            }
        });
        assert_eq!(source.asked(), 2);
    });
}

#[test]
fn whoever_gives_up_half_way_holds_nobody_up() {
    explore(|| {
        let (source, cache) = Source::cache();
        let impatient = {
            let cache = Arc::clone(&cache);
            spawn(async move {
                let mut login = Box::pin(cache.login());
                for _ in 0..2 {
                    if (&mut login).now_or_never().is_some() {
                        break;
                    }
                    yield_now().await;
                }
            })
        };
        let patient: Vec<_> = (0..2)
            .map(|_| {
                let cache = Arc::clone(&cache);
                spawn(async move { cache.login().await.unwrap().generation() })
            })
            .collect();
        block_on(async {
            impatient.await.unwrap();
            for member in patient {
                assert_eq!(member.await.unwrap(), 1);
            }
        });
        assert!(source.asked() <= 2, "one for each that began");
    });
}

#[test]
fn places_and_waiters_are_counted_out_as_they_were_counted_in() {
    explore(|| {
        let (queue, census) = (Arc::new(Queue::default()), Census::default());
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let (queue, census) = (Arc::clone(&queue), census.clone());
                spawn(async move {
                    let Ok(waiting) = queue.join(Some(1)) else {
                        return false;
                    };
                    let mut entering = Box::pin(census.enter(1));
                    if number == 0 {
                        // Gives up unless it is let in at once.
                        let entered = (&mut entering).now_or_never();
                        yield_now().await;
                        drop((entered, waiting));
                        return true;
                    }
                    let presence = entering.await;
                    let served = queue.serve();
                    assert_eq!(census.count(), 1);
                    yield_now().await;
                    drop((presence, served, waiting));
                    true
                })
            })
            .collect();
        let joined = block_on(async {
            let mut joined = 0;
            for task in tasks {
                joined += usize::from(task.await.unwrap());
            }
            joined
        });
        assert!(joined >= 1, "they do not turn each other away");
        assert_eq!(census.count(), 0);
        // Nobody is left in the queue: as many as may can join.
        let first = queue.join(Some(1)).unwrap();
        assert!(queue.join(Some(0)).is_err());
        drop(first);
    });
}
