//! Before a process stands still.

use std::pin::pin;
use std::sync::atomic::Ordering;

use futures_util::future::select;
use tokio::time::timeout;

use super::{Pool, RECLAIM_INTERVAL};
#[cfg(feature = "lambda")]
use crate::clock::Moment;
use crate::engine::Engine;
use crate::shared::Shared;

impl<DB: Engine> Pool<DB> {
    /// Waits until every connection is idle: nothing is in use, being opened, cleared of what was
    /// left on it, or saying goodbye.
    ///
    /// A process that is about to stand still, as an AWS Lambda environment does between two
    /// invocations, waits for this first: the rollback of a dropped transaction that is sent an hour
    /// later has kept its locks for an hour. It has no bound of its own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the waiting.
    pub async fn settled(&self) {
        let Shared {
            queue,
            census,
            live,
            ..
        } = self.shared();
        let _watching = queue.turn_away();
        loop {
            let back = queue.until_one_came_back();
            let changed = census.change();
            let status = self.0.pool.status();
            let idle = status.available == status.size;
            if idle && census.count() == live.load(Ordering::Relaxed) {
                return;
            }
            self.0.lent.reclaim();
            let _ = timeout(RECLAIM_INTERVAL, select(pin!(back), pin!(changed))).await;
        }
    }

    /// Lets all idle connections go.
    #[cfg(feature = "lambda")]
    pub(crate) fn release_idle(&self) {
        drop(self.0.pool.retain(|_, _| false).removed);
    }

    /// The time, by the clock that expiry and age are judged by.
    #[cfg(feature = "lambda")]
    pub(crate) fn now(&self) -> Moment {
        self.shared().clock.now()
    }
}
