//! The cores of a simulated machine, and what keeps them busy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::simulation::{Time, WorkerId};

/// What keeps a core busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// A login up to the point where the server needs a place for it: TLS and the token.
    Greeting(WorkerId, u32),
    /// The server's new process, which has a place from its beginning on.
    Session(WorkerId, u32),
    /// That process where there is no place.
    Refusal(WorkerId, u32),
    Query(WorkerId),
}

/// The cores of the machine, which all jobs share evenly, as a fair scheduler does.
pub(crate) struct Cores {
    cores: f64,
    /// What each job has had since the start, if it was there from then on, in microseconds.
    served: f64,
    updated: Time,
    /// By what `served` will be when they are done, in nanoseconds.
    jobs: BinaryHeap<Reverse<(u64, u64, Job)>>,
    changes: u64,
}

impl Cores {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            cores: cores as f64,
            served: 0.0,
            updated: 0,
            jobs: BinaryHeap::new(),
            changes: 0,
        }
    }

    /// What a job gets of a core.
    fn share(&self) -> f64 {
        (self.cores / self.jobs.len().max(1) as f64).min(1.0)
    }

    fn update(&mut self, now: Time) {
        self.served += (now - self.updated) as f64 * self.share();
        self.updated = now;
        self.changes += 1;
    }

    pub(crate) fn begin(&mut self, now: Time, job: Job, cost: Duration) {
        self.update(now);
        let done = self.served * 1e3 + cost.as_nanos() as f64;
        self.jobs.push(Reverse((done as u64, self.changes, job)));
    }

    /// When the next job will be done if none comes before, and the number of this state.
    pub(crate) fn next(&self) -> Option<(Time, u64)> {
        let Reverse((done, ..)) = self.jobs.peek()?;
        let left = (*done as f64 / 1e3 - self.served).max(0.0) / self.share();
        Some((self.updated + left.ceil() as Time, self.changes))
    }

    pub(crate) fn finish(&mut self, now: Time, change: u64) -> Option<Job> {
        if change != self.changes {
            return None;
        }
        self.update(now);
        self.jobs.pop().map(|Reverse((.., job))| job)
    }
}
