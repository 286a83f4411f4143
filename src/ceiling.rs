//! How many connections a pool may hold while its server is full. Arithmetic only.

use std::time::Duration;

use crate::clock::Moment;

/// A pool's own limit below `max_connections`: halved when the server is full, and raised by one
/// after a while without that.
///
/// That is how TCP shares a line: whoever meets the limit makes much room at once and takes it back
/// little by little, so that many workers end up with fair shares of one server.
#[derive(Debug)]
pub(crate) struct Ceiling {
    max: usize,
    limit: usize,
    changed: Option<Moment>,
}

/// How long the limit stays before it is raised by one.
const CLIMB_AFTER: Duration = Duration::from_secs(5);

/// Connects that fail together are one sign that the server is full.
const HALVE_AFTER: Duration = Duration::from_secs(1);

impl Ceiling {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            limit: max,
            changed: None,
        }
    }

    /// The limit now.
    pub(crate) fn limit(&mut self, now: Moment) -> usize {
        if let Some(changed) = self.changed {
            let steps = now.since(changed).as_secs() / CLIMB_AFTER.as_secs();
            if steps > 0 {
                let steps = usize::try_from(steps).unwrap_or(usize::MAX);
                self.limit = self.limit.saturating_add(steps).min(self.max);
                self.changed = (self.limit < self.max).then_some(now);
            }
        }
        self.limit
    }

    /// The server was full when the pool had `open` connections, of which `in_use` were in use.
    /// Returns the limit.
    pub(crate) fn full(&mut self, open: usize, in_use: usize, now: Moment) -> usize {
        let limit = self.limit(now);
        let repeated = |changed| now.since(changed) < HALVE_AFTER;
        if !self.changed.is_some_and(repeated) {
            self.limit = (open.min(limit) / 2).max(in_use).clamp(1, self.max);
            self.changed = Some(now);
        }
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn it_halves_at_once_and_climbs_by_one() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let mut ceiling = Ceiling::new(10);
        assert_eq!(ceiling.limit(clock.now()), 10);
        assert_eq!(ceiling.full(8, 1, clock.now()), 4);
        assert_eq!(ceiling.full(8, 1, clock.now()), 4, "the same crowd");
        clock.advance(HALVE_AFTER);
        assert_eq!(ceiling.full(4, 3, clock.now()), 3, "all but what is in use");
        let mut limits = Vec::new();
        for _ in 0..9 {
            clock.advance(CLIMB_AFTER);
            limits.push(ceiling.limit(clock.now()));
        }
        assert_eq!(limits, [4, 5, 6, 7, 8, 9, 10, 10, 10]);
    }

    #[test]
    fn a_process_that_was_frozen_starts_afresh() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let mut ceiling = Ceiling::new(10);
        ceiling.full(2, 0, clock.now());
        clock.freeze(Duration::from_secs(3_600));
        assert_eq!(ceiling.limit(clock.now()), 10);
    }

    proptest! {
        #[test]
        fn it_stays_between_what_is_in_use_and_the_maximum(
            max in 1usize..50,
            steps in prop::collection::vec((0u64..20, 0usize..50, 0usize..50), 0..50),
        ) {
            let clock = Clock::manual(SystemTime::UNIX_EPOCH);
            let mut ceiling = Ceiling::new(max);
            for (seconds, open, in_use) in steps {
                clock.advance(Duration::from_secs(seconds));
                let open = open.min(max);
                let in_use = in_use.min(open);
                let before = ceiling.limit(clock.now());
                let limit = ceiling.full(open, in_use, clock.now());
                prop_assert!(limit >= 1 && limit <= before.max(in_use));
                prop_assert!(limit >= in_use.min(before));
            }
        }
    }
}
