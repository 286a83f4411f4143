//! Housekeeping while nobody asks: idle connections are let go, and the fewest are kept open.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use deadpool::managed::{self, PoolError, TimeoutType};
use futures_util::future::select;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::close_event::CloseEvent;
use crate::engine::Engine;
use crate::manager::{self, AT_ONCE, Manager};
use crate::options::PoolOptions;
use crate::telemetry;

/// The task that keeps a pool's house. No promise of the pool depends on it but that unused
/// connections go and `min_connections` stay.
#[derive(Default)]
pub(crate) struct Keeper(Mutex<Option<JoinHandle<()>>>);

impl Keeper {
    /// Sees to it that the task runs, where a runtime is there and there is anything to keep.
    ///
    /// A runtime may have ended and taken its tasks with it, so whoever opens connections calls this.
    pub(crate) fn ensure<DB: Engine>(&self, pool: &managed::Pool<Manager<DB>>) {
        // Who finds it held leaves the task to that one.
        let Ok(mut task) = self.0.try_lock() else {
            return;
        };
        if task.as_ref().is_some_and(|task| !task.is_finished()) || pool.is_closed() {
            return;
        }
        let options = &pool.manager().shared.options;
        if options.keeps_house
            && let Some(pause) = pause(options)
            && let Ok(runtime) = Handle::try_current()
        {
            *task = Some(runtime.spawn(keep(pool.weak(), pause)));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Ok(task) = self.0.get_mut()
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

/// One that is just being closed gives up its place a moment after it is gone.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// How long to rest between two rounds: a tenth of the shortest limit, from 1 s to 30 s.
fn pause<DB: Engine>(options: &PoolOptions<DB>) -> Option<Duration> {
    let limits = [options.max_lifetime, options.idle_timeout];
    match limits.into_iter().flatten().min() {
        Some(limit) => Some((limit / 10).clamp(Duration::from_secs(1), Duration::from_secs(30))),
        None => (options.min_connections > 0).then_some(Duration::from_secs(30)),
    }
}

async fn keep<DB: Engine>(pool: managed::WeakPool<Manager<DB>>, pause: Duration) {
    let Some(shared) = pool.upgrade().map(|pool| pool.manager().shared.clone()) else {
        return;
    };
    let min = shared.options.min_connections;
    let rounds = async {
        while let Some(pool) = pool.upgrade() {
            manager::sweep(&pool);
            let deadline = Instant::now() + shared.options.acquire_timeout;
            let filled = fill(&pool, min, deadline).await;
            // Nobody but the pool's users keeps it alive while this rests.
            drop(pool);
            match filled {
                Ok(Filled::Yes) => {
                    let lost = shared.census.below(min as usize);
                    select(pin!(sleep(pause)), pin!(lost)).await;
                }
                Ok(Filled::Busy) => sleep(BUSY_PAUSE).await,
                Err(error) => {
                    telemetry::below_min_connections(&error);
                    sleep(pause).await;
                }
            }
        }
    };
    let _ = CloseEvent::new(&shared.closed).do_until(rounds).await;
}

/// How [`fill`] ended.
pub(crate) enum Filled {
    /// As many are open as should be.
    Yes,
    /// Every place is in use, or will not come back.
    Busy,
}

/// Opens connections until `min` are open or no place is free.
///
/// # Cancel safety
///
/// Cancel safe: a half-open connection is dropped.
pub(crate) async fn fill<DB: Engine>(
    pool: &managed::Pool<Manager<DB>>,
    min: u32,
    deadline: Instant,
) -> Result<Filled, sqlx::Error> {
    let shared = &pool.manager().shared;
    let census = &shared.census;
    let min = min.min(shared.options.max_connections);
    // Those that others are opening count, and so do those that were leaked.
    while pool.status().size.max(census.count()) < min as usize {
        let mut opening = Box::pin(manager::one_more_by(deadline, pool.timeout_get(&AT_ONCE)));
        // deadpool opens one only where none is idle: they are held back for one poll, which
        // takes it past that question.
        let first = poll_fn(|context| {
            let idle: Vec<_> = std::iter::from_fn(|| manager::take_idle(pool)).collect();
            let polled = opening.as_mut().poll(context);
            // In the order in which they lay.
            idle.into_iter().rev().for_each(drop);
            Poll::Ready(polled)
        })
        .await;
        let opened = match first {
            Poll::Ready(opened) => opened,
            Poll::Pending => opening.await,
        };
        match opened {
            Ok(connection) => drop(connection),
            // The server is full, and the pool makes do with what it has.
            Err(PoolError::Backend(sqlx::Error::PoolTimedOut)) => return Ok(Filled::Busy),
            Err(PoolError::Backend(error)) => return Err(error),
            Err(PoolError::Timeout(TimeoutType::Wait)) => return Ok(Filled::Busy),
            Err(_) => return Err(sqlx::Error::PoolClosed),
        }
    }
    Ok(if census.count() < min as usize {
        Filled::Busy
    } else {
        Filled::Yes
    })
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}
