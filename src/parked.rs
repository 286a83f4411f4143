//! Where real connections wait for sqlx to take them. A queue and a count, no I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Real connections that wait for sqlx to take them.
///
/// All are equal, so sqlx's connections to the stub carry no number: each takes the first that is
/// parked. One is parked for each guest before it is let in, and a guest that is gone takes one
/// along if more are parked than guests are left. That is enough, whatever the order:
///
/// - None is missing. Count the guests that were let in, whose sockets are open and whose sqlx end
///   has not taken a connection yet. Letting one in adds one to both counts; taking takes one off
///   both; sqlx giving one up lowers only this count; and the end of a guest takes a connection
///   only while more are parked than guests remain, of whom these are a part. So at least as many
///   are parked as these, and whoever may take finds one.
/// - None is left. More than guests are never parked after a guest has ended, and every guest ends
///   when sqlx drops its connection: after it has taken one, or when its acquire is cancelled.
///
/// Each of the three steps is one critical section, and the lock is never held across an await.
pub(crate) struct Parked<C>(Mutex<Lot<C>>);

struct Lot<C> {
    connections: VecDeque<C>,
    /// Those who were let in and have not hung up.
    guests: usize,
}

impl<C> Parked<C> {
    /// Lays a connection ready for a guest who is about to be let in.
    pub(crate) fn park(self: &Arc<Self>, connection: C) -> Stay<C> {
        let mut lot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lot.connections.push_back(connection);
        lot.guests += 1;
        Stay(Some(Arc::clone(self)))
    }

    /// The connection for a guest who was let in.
    pub(crate) fn take(&self) -> Option<C> {
        let mut lot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lot.connections.pop_front()
    }

    /// A guest has hung up: what it leaves behind.
    fn leave(&self) -> Option<C> {
        let mut lot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lot.guests -= 1;
        if lot.connections.len() > lot.guests {
            lot.connections.pop_front()
        } else {
            None
        }
    }
}

impl<C> Default for Parked<C> {
    fn default() -> Self {
        Self(Mutex::new(Lot {
            connections: VecDeque::new(),
            guests: 0,
        }))
    }
}

/// Counts a guest as present, also if the runtime ends under its task.
pub(crate) struct Stay<C>(Option<Arc<Parked<C>>>);

impl<C> Stay<C> {
    pub(crate) fn end(mut self) -> Option<C> {
        self.0.take().and_then(|parked| parked.leave())
    }
}

impl<C> Drop for Stay<C> {
    fn drop(&mut self) {
        drop(self.0.take().and_then(|parked| parked.leave()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        LetIn,
        Take(prop::sample::Index),
        GiveUp(prop::sample::Index),
        HangUp(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::LetIn),
            any::<prop::sample::Index>().prop_map(Step::Take),
            any::<prop::sample::Index>().prop_map(Step::GiveUp),
            any::<prop::sample::Index>().prop_map(Step::HangUp),
        ]
    }

    proptest! {
        /// Every order in which guests can be let in, take, give up and hang up.
        #[test]
        fn whoever_was_let_in_finds_a_connection_and_none_is_left(
            steps in prop::collection::vec(step(), 0..64),
        ) {
            let parked = Arc::new(Parked::<usize>::default());
            let (mut waiting, mut done) = (Vec::new(), Vec::new());
            let (mut let_in, mut seen) = (0, Vec::new());
            let pick = |from: &mut Vec<Stay<usize>>, index: prop::sample::Index| {
                (!from.is_empty()).then(|| from.swap_remove(index.index(from.len())))
            };
            for step in steps {
                match step {
                    Step::LetIn => {
                        waiting.push(parked.park(let_in));
                        let_in += 1;
                    }
                    Step::Take(index) => if let Some(guest) = pick(&mut waiting, index) {
                        let taken = parked.take();
                        prop_assert!(taken.is_some());
                        seen.extend(taken);
                        done.push(guest);
                    }
                    Step::GiveUp(index) => done.extend(pick(&mut waiting, index)),
                    Step::HangUp(index) => if let Some(guest) = pick(&mut done, index) {
                        seen.extend(guest.end());
                    }
                }
                let count = parked.0.lock().unwrap().connections.len();
                prop_assert!(waiting.len() <= count && count <= waiting.len() + done.len());
            }
            for guest in waiting.into_iter().chain(done) {
                seen.extend(guest.end());
            }
            prop_assert!(parked.take().is_none());
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..let_in).collect::<Vec<_>>());
        }
    }
}
