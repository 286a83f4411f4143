//! A time by which all that a task waits for must have ended.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs `work`, in which no wait for a connection goes on past `deadline`.
pub(crate) fn by<F: Future>(deadline: Instant, work: F) -> By<F> {
    DEADLINE.scope(deadline, work)
}

pub(crate) type By<F> = tokio::task::futures::TaskLocalFuture<Instant, F>;

/// What is no end for anybody, where a clock cannot tell a later one.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// When a wait of `timeout` ends, from `now` on.
pub(crate) fn of(now: Instant, timeout: Duration) -> Instant {
    let end = now.checked_add(timeout).unwrap_or_else(|| now + FAR);
    DEADLINE
        .try_with(|deadline| end.min(*deadline))
        .unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_may_have_no_end() {
        let now = Instant::now();
        assert_eq!(of(now, Duration::MAX), now + FAR);
        let soon = now + Duration::from_secs(1);
        let within = by(soon, async { of(now, Duration::MAX) });
        assert_eq!(within.await, soon);
    }
}
