//! Tasks that share work.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::operation::Operation;

/// A number of tasks on the workers of a runtime.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) runtime: Handle,
    pub(crate) tasks: usize,
}

impl Crowd {
    /// Has the tasks perform `operations` between them, each its even share.
    ///
    /// Returns how long that took, from before the first task was spawned until the last was done.
    pub(crate) fn perform(&self, operations: u64, operation: &impl Operation) -> Duration {
        let tasks = self.tasks as u64;
        self.runtime.block_on(async {
            let started = Instant::now();
            let mut running = JoinSet::new();
            for task in 0..self.tasks {
                let share = operations / tasks + u64::from((task as u64) < operations % tasks);
                let operation = operation.clone();
                running.spawn(async move {
                    for _ in 0..share {
                        operation.perform(task).await;
                    }
                });
            }
            while let Some(done) = running.join_next().await {
                done.unwrap();
            }
            started.elapsed()
        })
    }
}
