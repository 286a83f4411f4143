//! Tasks that wait for a connection.

#[cfg(shuttle)]
use shuttle::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(shuttle))]
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::Overloaded;

/// Counts the tasks that wait for a connection of a pool, and wakes those that no free place helps.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// All whose acquire was not over at once.
    present: AtomicUsize,
    /// Those of them for whom a connection is being opened or vetted.
    served: AtomicUsize,
    /// Those of them that wait for a connection to come back although a place is free.
    turned_away: AtomicUsize,
    came_back: Notify,
}

impl Queue {
    /// Joins, unless `max` others wait already, not counting those being served.
    pub(crate) fn join(&self, max: Option<usize>) -> Result<Counted<'_>, Overloaded> {
        let Some(max_waiters) = max else {
            return Ok(Counted::new(&self.present));
        };
        // In one step, or several that come together would turn each other away.
        let joined = self
            .present
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |present| {
                let served = self.served.load(Ordering::Relaxed);
                let waiting = (present + 1).saturating_sub(served);
                (waiting <= max_waiters).then_some(present + 1)
            });
        match joined {
            Ok(_) => Ok(Counted(&self.present)),
            Err(_) => Err(Overloaded { max_waiters }),
        }
    }

    /// A connection is being opened or vetted for somebody, for as long as the guard lives.
    pub(crate) fn serve(&self) -> Counted<'_> {
        Counted::new(&self.served)
    }

    /// Counts those whom [`came_back`](Self::came_back) is to wake.
    pub(crate) fn turn_away(&self) -> Counted<'_> {
        Counted::new(&self.turned_away)
    }

    /// Resolves at the next [`came_back`](Self::came_back), also one before the first poll.
    pub(crate) fn until_one_came_back(&self) -> Notified<'_> {
        self.came_back.notified()
    }

    /// A connection was given back or has gone: wakes whom that may help.
    pub(crate) fn came_back(&self) {
        self.came_back.notify_one();
    }

    /// None will come back any more: wakes all.
    pub(crate) fn close(&self) {
        self.came_back.notify_waiters();
    }

    pub(crate) fn is_anybody_turned_away(&self) -> bool {
        self.turned_away.load(Ordering::Relaxed) > 0
    }
}

/// One of those counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<'q>(&'q AtomicUsize);

impl<'q> Counted<'q> {
    fn new(count: &'q AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_being_served_are_not_in_the_way() {
        let queue = Queue::default();
        let opening = queue.join(Some(0)).unwrap_err();
        assert_eq!(opening, Overloaded { max_waiters: 0 });
        let served = queue.serve();
        let opening = queue.join(Some(0)).unwrap();
        assert!(queue.join(Some(0)).is_err());
        let waiting = queue.join(Some(1)).unwrap();
        assert!(queue.join(Some(1)).is_err());
        drop((opening, served, waiting));
        assert!(queue.join(Some(1)).is_ok());
    }
}
