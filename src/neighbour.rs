//! A pool among others that share a quota.

use std::sync::Arc;

use deadpool::managed;

use crate::engine::Engine;
use crate::manager::Manager;
use crate::quota::Neighbour;
use crate::telemetry::{self, DiscardReason};

/// Makes a pool known to those that it shares connections with.
pub(crate) fn introduce<DB: Engine>(pool: &managed::Pool<Manager<DB>>) {
    if let Some(member) = pool.manager().member() {
        member.introduce(Arc::new(Known(pool.weak())));
    }
}

struct Known<DB: Engine>(managed::WeakPool<Manager<DB>>);

impl<DB: Engine> Neighbour for Known<DB> {
    fn let_one_go(&self) -> bool {
        let Some(pool) = self.0.upgrade() else {
            return false;
        };
        // Less those that are as good as taken.
        let mut wanted = pool.status().available.min(1);
        let removed = pool.retain(|_, _| {
            let keep = wanted == 0;
            wanted = 0;
            keep
        });
        for connection in &removed.removed {
            telemetry::discarded(DiscardReason::Shared, connection.managed.generation);
        }
        !removed.removed.is_empty()
    }

    fn room(&self) {
        if let Some(pool) = self.0.upgrade() {
            let queue = &pool.manager().shared.queue;
            if queue.is_anybody_turned_away() {
                queue.came_back();
            }
        }
    }
}
