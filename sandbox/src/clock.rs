//! The time the sandbox believes it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// Wall clock of the sandbox: real time plus an offset that tests move.
///
/// Cloning shares the offset, so one handle ages every token the sandbox will see from then on.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<watch::Sender<Offset>>,
}

impl Clock {
    /// A clock that shows real time until it is moved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Real time plus the offset.
    pub fn now(&self) -> SystemTime {
        let offset = *self.offset.borrow();
        SystemTime::now() + offset.ahead - offset.behind
    }

    /// Moves the clock forwards, as if the sandbox had slept for this long.
    pub fn advance(&self, by: Duration) {
        self.offset.send_modify(|offset| offset.ahead += by);
    }

    /// Moves the clock backwards, so that tokens signed now seem to come from the future.
    pub fn rewind(&self, by: Duration) {
        self.offset.send_modify(|offset| offset.behind += by);
    }

    /// Waits until the clock shows `time`, be it that time passes or that it is moved.
    pub(crate) async fn reached(&self, time: SystemTime) {
        let mut moved = self.offset.subscribe();
        while let Ok(left) = time.duration_since(self.now()) {
            // Cannot fail: the clock holds the sending half.
            let _ = tokio::time::timeout(left, moved.changed()).await;
        }
    }
}

/// A signed offset in two halves, since `Duration` has no sign.
#[derive(Clone, Copy, Debug, Default)]
struct Offset {
    ahead: Duration,
    behind: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn clones_move_together() {
        let clock = Clock::new();
        let twin = clock.clone();
        clock.advance(HOUR);
        assert!(twin.now() >= SystemTime::now() + HOUR - Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_time_is_reached_by_moving_the_clock() {
        let clock = Clock::new();
        let waiting = clock.reached(clock.now() + HOUR);
        let twin = clock.clone();
        let moving = async {
            twin.rewind(HOUR);
            tokio::task::yield_now().await;
            twin.advance(2 * HOUR);
        };
        tokio::join!(waiting, moving);
    }

    #[test]
    fn rewinding_undoes_advancing() {
        let clock = Clock::new();
        clock.advance(HOUR);
        clock.rewind(2 * HOUR);
        assert!(clock.now() <= SystemTime::now() - HOUR);
    }
}
