//! The one loop that tries again.

use std::future::Future;

use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::{random, telemetry};

/// Runs `work` until it succeeds, fails with what is not `passing`, or `deadline` is reached.
///
/// At the deadline the last error of `work` is returned, or `hung` where it never ended.
/// `backoff` is chosen by the error. A wait that would end after the deadline is not begun.
///
/// # Cancel safety
///
/// As cancel safe as `work`.
pub(crate) async fn until<T, E, Fut>(
    deadline: Instant,
    backoff: impl Fn(&E) -> Backoff,
    mut work: impl FnMut() -> Fut,
    passing: impl Fn(&E) -> bool,
    hung: impl FnOnce() -> E,
) -> Result<T, E>
where
    Fut: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let mut last = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match timeout_at(deadline, work()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if passing(&error) => error,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(last.unwrap_or_else(hung)),
        };
        let delay = backoff(&error).delay(attempt, random::fraction());
        if Instant::now() + delay >= deadline {
            return Err(error);
        }
        telemetry::retrying(attempt, delay, &error);
        last = Some(error);
        sleep(delay).await;
    }
}
