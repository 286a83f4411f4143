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

/// When a wait of `timeout` ends, from `now` on.
pub(crate) fn of(now: Instant, timeout: Duration) -> Instant {
    let end = now + timeout;
    DEADLINE
        .try_with(|deadline| end.min(*deadline))
        .unwrap_or(end)
}
