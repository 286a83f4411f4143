//! What is simulated.

use std::time::Duration;

use sqlx_rds::Plan;

use crate::contender::Contender;
use crate::costs::Costs;
use crate::load::Load;

pub(crate) struct Scenario<'a> {
    pub(crate) load: &'a Load,
    pub(crate) contender: Contender,
    pub(crate) plan: Plan,
    pub(crate) costs: Costs,
    /// What the server takes.
    pub(crate) connections: u32,
    /// What one request does in the database, and what else it does.
    pub(crate) work: Duration,
    pub(crate) rest: Duration,
    /// Messages to the server and back in one request's transaction.
    pub(crate) round_trips: u32,
    /// How far each region is from the database, there and back. Each has an equal part of the
    /// workers and of the requests.
    pub(crate) regions: Vec<Duration>,
    /// How many workers can be started in a second.
    pub(crate) starts_per_second: Option<f64>,
    pub(crate) seed: u64,
}

impl Scenario<'_> {
    pub(crate) fn most_workers(&self) -> usize {
        match self.contender {
            Contender::Ideal => usize::MAX / 2,
            Contender::Direct => self.load.workers.min(self.plan.budget as usize),
            _ => self.load.workers,
        }
    }

    pub(crate) fn patience(&self) -> Duration {
        match self.contender {
            // Nothing ends it.
            Contender::PerRequest => Duration::from_secs(24 * 60 * 60),
            // sqlx's default.
            Contender::SqlxPool => Duration::from_secs(30),
            _ => self.plan.acquire_timeout,
        }
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        if self.contender.is_ours() {
            self.plan.idle_timeout
        } else {
            Duration::from_secs(600)
        }
    }
}
