//! What is going to happen, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::workers::WorkerId;

/// Microseconds since the start.
pub(crate) type Time = u64;

pub(super) const SECOND: Time = 1_000_000;

pub(super) fn micros(duration: Duration) -> Time {
    duration.as_micros() as Time
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrival(usize),
    /// A worker can be started again.
    Start(usize),
    /// For the worker's request of that number, as all that follow.
    Login(WorkerId, u32),
    /// The server lets the login begin.
    Greeting(WorkerId, u32),
    /// The first of the jobs on the cores is done, if none came or went since.
    Computed(u64),
    Told(WorkerId, u32),
    Refused(WorkerId, u32),
    /// The worker's `acquire_timeout` is over.
    Deadline(WorkerId, u32),
    /// The proxy's borrow timeout.
    BorrowTimeout(WorkerId, u32),
    /// The query is done, and the server's connection free for the proxy's next client.
    Answered(WorkerId),
    Finished(WorkerId),
    /// The server ends a session that said nothing since that request.
    SessionTimeout(WorkerId, u32),
    Look,
}

/// Events in the order of their times, and in the order in which they were entered.
#[derive(Default)]
pub(super) struct Calendar {
    entered: u64,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
}

impl Calendar {
    pub(super) fn enter(&mut self, time: Time, event: Event) {
        self.entered += 1;
        self.events.push(Reverse((time, self.entered, event)));
    }

    pub(super) fn next(&mut self) -> Option<(Time, Event)> {
        let Reverse((time, _, event)) = self.events.pop()?;
        Some((time, event))
    }
}
