//! The one loop that tries again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::random;
use crate::telemetry::{self, Tried};

/// With less time than this no attempt is begun: its error would only be that it was cut off.
const WORTHWHILE: Duration = Duration::from_millis(5);

/// How an attempt ended without success.
pub(crate) enum Ended<E> {
    Failed(E),
    /// By the deadline.
    Cut,
}

/// Runs one attempt, and cuts it off at `deadline`.
///
/// # Cancel safety
///
/// As cancel safe as `attempt`.
pub(crate) async fn cut<T, E>(
    deadline: Instant,
    attempt: impl Future<Output = Result<T, E>>,
) -> Result<T, Ended<E>> {
    match timeout_at(deadline, attempt).await {
        Ok(done) => done.map_err(Ended::Failed),
        Err(_) => Err(Ended::Cut),
    }
}

/// Runs `work` until it succeeds, fails with what is not `passing`, or `deadline` is reached.
///
/// `what` is for the log. Where an attempt was cut off, `hung` makes the error, from that of the
/// attempt before where there is one. `backoff` is chosen by the error. A wait that would end after the deadline is drawn once
/// more, from the time that is left, and the attempt after it is the last.
///
/// # Cancel safety
///
/// As cancel safe as `work`.
pub(crate) async fn until<T, E, Fut>(
    what: Tried,
    deadline: Instant,
    backoff: impl Fn(&E) -> Backoff,
    mut work: impl FnMut() -> Fut,
    passing: impl Fn(&E) -> bool,
    hung: impl FnOnce(Option<E>) -> E,
) -> Result<T, E>
where
    Fut: Future<Output = Result<T, Ended<E>>>,
    E: std::fmt::Display,
{
    let mut last = None;
    let mut attempt = 0;
    let mut is_last = false;
    loop {
        attempt += 1;
        let error = match work().await {
            Ok(value) => return Ok(value),
            Err(Ended::Failed(error)) if !is_last && passing(&error) => error,
            Err(Ended::Failed(error)) => return Err(error),
            Err(Ended::Cut) => return Err(hung(last)),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left < WORTHWHILE {
            return Err(error);
        }
        let mut delay = backoff(&error).delay(attempt, random::fraction());
        if delay >= left {
            delay = left.mul_f64(random::fraction());
            is_last = true;
        }
        telemetry::retrying(what, attempt, delay, &error);
        last = Some(error);
        sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;

    /// Whatever is drawn, nobody gives up early for a wait that is too long, and nobody stays.
    #[tokio::test(start_paused = true)]
    async fn the_time_that_is_left_is_tried_once_more() {
        let backoff = Backoff {
            initial: Duration::from_secs(100),
            max: Duration::from_secs(100),
        };
        for _ in 0..200 {
            let started = Instant::now();
            let deadline = started + Duration::from_secs(10);
            let attempts = Cell::new(0);
            let fail = || async {
                attempts.set(attempts.get() + 1);
                Err::<(), _>(Ended::Failed("full"))
            };
            let result = until(
                Tried::Work,
                deadline,
                |_| backoff,
                fail,
                |_| true,
                |_| "hung",
            )
            .await;
            assert_eq!(result, Err("full"));
            assert!(attempts.get() >= 2);
            assert!(Instant::now() <= deadline && Instant::now() > started);
        }
    }

    /// Full jitter: every wait is drawn evenly from all of its range, which doubles.
    #[tokio::test(start_paused = true)]
    async fn waits_are_drawn_evenly_from_ranges_that_double() {
        let backoff = Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(4),
        };
        let ceilings = [1.0, 2.0, 4.0, 4.0];
        let mut tenths = [[0; 10]; 4];
        for _ in 0..1_000 {
            let begun = Mutex::new(Vec::new());
            let fail = || async {
                begun.lock().unwrap().push(Instant::now());
                Err::<(), _>(Ended::Failed("away"))
            };
            let passing = |_: &&str| begun.lock().unwrap().len() <= 4;
            let deadline = Instant::now() + Duration::from_secs(100);
            let result = until(
                Tried::Work,
                deadline,
                |_| backoff,
                fail,
                passing,
                |_| "hung",
            )
            .await;
            assert_eq!(result, Err("away"));
            let begun = begun.into_inner().unwrap();
            for (number, times) in begun.windows(2).enumerate() {
                let part = (times[1] - times[0]).as_secs_f64() / ceilings[number];
                // The timer counts in milliseconds.
                tenths[number][((part * 10.0) as usize).min(9)] += 1;
            }
        }
        // 100 each, with a standard deviation of 9.5.
        for counts in tenths {
            assert!(
                counts.iter().all(|count| (50..150).contains(count)),
                "{tenths:?}"
            );
        }
    }
}
