//! The one place that reads time.
//!
//! Age and expiry need both clocks of a machine: the wall clock jumps when somebody sets it, and
//! the monotonic clock stands still while a Lambda environment is frozen.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The source of time of a pool: the machine's, or one that a test moves.
///
/// Cloning is cheap, and clones of a manual clock share its hands.
/// Deadlines inside one call are not taken from here: they belong to the runtime's timer.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Mutex<Moment>>>);

impl Clock {
    /// The machine's own clocks. This is the default.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `wall` until [`advance`](Self::advance) moves it.
    #[must_use]
    pub fn manual(wall: SystemTime) -> Self {
        Self(Some(Arc::new(Mutex::new(Moment {
            wall,
            monotonic: Instant::now(),
        }))))
    }

    /// The time now, on both clocks.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            None => Moment {
                wall: SystemTime::now(),
                monotonic: Instant::now(),
            },
            Some(hands) => *hands.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves both hands of a manual clock forwards, as waiting would.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody moves.
    pub fn advance(&self, by: Duration) {
        self.turn(|now| Moment {
            wall: now.wall + by,
            monotonic: now.monotonic + by,
        });
    }

    /// Moves only the wall clock of a manual clock, forwards: what a frozen process finds on waking.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody moves.
    pub fn freeze(&self, by: Duration) {
        self.turn(|now| Moment {
            wall: now.wall + by,
            ..now
        });
    }

    /// Sets the wall clock of a manual clock, to any time: what an operator or NTP may do.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody moves.
    pub fn set_wall(&self, wall: SystemTime) {
        self.turn(|now| Moment { wall, ..now });
    }

    fn turn(&self, to: impl FnOnce(Moment) -> Moment) {
        let Some(hands) = &self.0 else {
            panic!("only a clock made by `Clock::manual` can be moved");
        };
        let mut hands = hands.lock().unwrap_or_else(PoisonError::into_inner);
        *hands = to(*hands);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Clock(manual)"
        } else {
            "Clock(system)"
        })
    }
}

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall: SystemTime,
    monotonic: Instant,
}

impl Moment {
    /// The wall clock's reading, which expiry is judged by.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.wall
    }

    /// How long ago `earlier` was: the larger of what the two clocks say.
    ///
    /// A wall clock that was set back says nothing, and one that was set forwards makes things
    /// look older than they are, which costs a ping, or new connections where the step is longer
    /// than a limit on their age.
    #[must_use]
    pub fn since(&self, earlier: Moment) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        monotonic.max(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_the_larger_of_both_clocks() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let start = clock.now();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(start), Duration::from_secs(5));
        clock.freeze(Duration::from_secs(60));
        assert_eq!(clock.now().since(start), Duration::from_secs(65));
        clock.set_wall(SystemTime::UNIX_EPOCH);
        assert_eq!(clock.now().since(start), Duration::from_secs(5));
    }

    #[test]
    #[should_panic(expected = "only a clock made by `Clock::manual` can be moved")]
    fn the_system_clock_cannot_be_moved() {
        Clock::system().advance(Duration::from_secs(1));
    }
}
