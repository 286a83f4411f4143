//! How fast connections are opened.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::random;

/// Bounds the connects that are under way, and those that begin in a second.
#[derive(Debug)]
pub(crate) struct ConnectLimiter {
    in_flight: Option<Semaphore>,
    rate: Option<Rate>,
}

/// Lets through a second's worth at once, and then one at a time (the generic cell rate algorithm).
#[derive(Debug)]
struct Rate {
    interval: Duration,
    /// When the next would be due if all had kept their distance; `None` before the first.
    due: Mutex<Option<Instant>>,
}

/// A second's worth may come at once.
const BURST: Duration = Duration::from_secs(1);

impl ConnectLimiter {
    pub(crate) fn new(in_flight: Option<NonZeroU32>, per_second: Option<NonZeroU32>) -> Self {
        Self {
            in_flight: in_flight.map(|max| Semaphore::new(max.get() as usize)),
            rate: per_second.map(|per_second| Rate {
                interval: Duration::from_secs(1) / per_second.get(),
                due: Mutex::new(None),
            }),
        }
    }

    /// Waits for a turn, which lasts as long as the guard.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; a turn that was waited for and not used counts as one in its second.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let in_flight = match &self.in_flight {
            // Never closed.
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        if let Some(rate) = &self.rate
            && let Some(at) = rate.book(Instant::now())
        {
            sleep_until(at).await;
        }
        Turn {
            _in_flight: in_flight,
        }
    }
}

/// The right to connect once.
#[derive(Debug)]
pub(crate) struct Turn<'l> {
    _in_flight: Option<SemaphorePermit<'l>>,
}

impl Rate {
    /// Books the next place; returns when it is, unless at once.
    fn book(&self, now: Instant) -> Option<Instant> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let place = due.map_or(now, |due| due.max(now));
        *due = Some(place + self.interval);
        let at = place.checked_sub(BURST - self.interval.min(BURST))?;
        // Workers that lost their connections together shall not keep step.
        (at > now).then(|| at + self.interval.mul_f64(random::fraction()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn limiter(in_flight: u32, per_second: u32) -> ConnectLimiter {
        ConnectLimiter::new(NonZeroU32::new(in_flight), NonZeroU32::new(per_second))
    }

    #[tokio::test(start_paused = true)]
    async fn a_seconds_worth_comes_at_once_and_the_rest_at_its_pace() {
        let limiter = limiter(0, 20);
        let started = Instant::now();
        for _ in 0..20 {
            limiter.turn().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            limiter.turn().await;
        }
        let took = started.elapsed();
        let pace = Duration::from_millis(950)..Duration::from_millis(1_100);
        assert!(pace.contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_a_seconds_worth_is_there_again() {
        let limiter = limiter(0, 2);
        for _ in 0..4 {
            limiter.turn().await;
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(limiter.turn().now_or_never().is_some());
        assert!(limiter.turn().now_or_never().is_some());
        assert!(limiter.turn().now_or_never().is_none());
    }

    #[tokio::test]
    async fn only_so_many_are_under_way() {
        let limiter = limiter(2, 0);
        let first = limiter.turn().await;
        let second = limiter.turn().await;
        let mut third = Box::pin(limiter.turn());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!(third.now_or_never().is_some());
        drop(second);
    }
}
