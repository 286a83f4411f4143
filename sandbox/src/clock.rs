//! The time the sandbox believes it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Wall clock of the sandbox: real time plus an offset that tests move.
///
/// Cloning shares the offset, so one handle ages every token the sandbox will see from then on.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<Mutex<Offset>>,
}

impl Clock {
    /// A clock that shows real time until it is moved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Real time plus the offset.
    pub fn now(&self) -> SystemTime {
        let offset = *self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        SystemTime::now() + offset.ahead - offset.behind
    }

    /// Moves the clock forwards, as if the sandbox had slept for this long.
    pub fn advance(&self, by: Duration) {
        self.offset
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ahead += by;
    }

    /// Moves the clock backwards, so that tokens signed now seem to come from the future.
    pub fn rewind(&self, by: Duration) {
        self.offset
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .behind += by;
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

    #[test]
    fn rewinding_undoes_advancing() {
        let clock = Clock::new();
        clock.advance(HOUR);
        clock.rewind(2 * HOUR);
        assert!(clock.now() <= SystemTime::now() - HOUR);
    }
}
