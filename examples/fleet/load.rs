//! The burst: when its requests come, and how many workers there may be for them.

use std::fmt;
use std::time::Duration;

pub(crate) struct Load {
    pub(crate) seconds: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) workers: usize,
    pub(crate) requests_per_worker: usize,
}

impl Load {
    pub(crate) fn new(
        seconds: f64,
        [from, to]: [f64; 2],
        workers: usize,
        requests_per_worker: Option<usize>,
    ) -> Self {
        let requests = ((from + to) / 2.0 * seconds) as usize;
        Self {
            seconds,
            from,
            to,
            workers,
            requests_per_worker: requests_per_worker.unwrap_or(requests.div_ceil(workers)),
        }
    }

    /// When the requests come, from the start on.
    pub(crate) fn arrivals(&self) -> Vec<Duration> {
        let climb = (self.to - self.from) / self.seconds;
        let mut arrivals = Vec::new();
        let mut at = 0.0;
        while at < self.seconds {
            arrivals.push(Duration::from_secs_f64(at));
            at += 1.0 / (self.from + climb * at);
        }
        arrivals
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} requests a second in {} s; up to {} workers for {} requests each",
            self.from, self.to, self.seconds, self.workers, self.requests_per_worker
        )
    }
}
