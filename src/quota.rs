//! How many connections the pools of one worker hold together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A limit that several pools share, with a part of it that each can count on.
///
/// What a pool was guaranteed is kept free for it, so that others never take it; the rest goes to
/// whoever asks first. A pool that finds nothing left asks the others for one that is idle and more
/// than they were guaranteed.
#[derive(Clone)]
pub(crate) struct Quota(Arc<Shared>);

struct Shared {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, MemberState>,
    next: u64,
}

struct MemberState {
    guaranteed: usize,
    open: usize,
    neighbour: Option<Arc<dyn Neighbour>>,
}

/// What a pool does for the others.
pub(crate) trait Neighbour: Send + Sync {
    /// Lets go of a connection that is idle, where there is one.
    fn let_one_go(&self) -> bool;
    /// There may be a place for another connection.
    fn room(&self);
}

impl Quota {
    pub(crate) fn new(max: u32) -> Self {
        Self(Arc::new(Shared {
            max: max as usize,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn max(&self) -> usize {
        self.0.max
    }

    /// Joins with a guarantee, unless the guarantees would exceed the limit; then it tells how many
    /// are left to guarantee.
    pub(crate) fn join(&self, guaranteed: u32) -> Result<Member, usize> {
        let guaranteed = guaranteed as usize;
        let mut state = self.0.state();
        let left = self.0.max - state.guaranteed();
        if guaranteed > left {
            return Err(left);
        }
        let id = state.next;
        state.next += 1;
        let member = MemberState {
            guaranteed,
            open: 0,
            neighbour: None,
        };
        state.members.insert(id, member);
        Ok(Member {
            shared: Arc::clone(&self.0),
            id,
        })
    }
}

impl Shared {
    /// Held for arithmetic only.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn guaranteed(&self) -> usize {
        self.members.values().map(|member| member.guaranteed).sum()
    }

    /// Whether a member may open one more.
    fn has_room(&self, id: u64, max: usize) -> bool {
        let taken = self.members.iter().map(|(other, member)| {
            // What is kept for a member is not there for the others.
            let kept = if *other == id { 0 } else { member.guaranteed };
            member.open.max(kept)
        });
        self.members
            .get(&id)
            .is_some_and(|member| member.open < member.guaranteed)
            || taken.sum::<usize>() < max
    }

    fn forget_if_gone(&mut self, id: u64) {
        let is_gone = |member: &MemberState| {
            member.open + member.guaranteed == 0 && member.neighbour.is_none()
        };
        if self.members.get(&id).is_some_and(is_gone) {
            self.members.remove(&id);
        }
    }

    fn neighbours(&self, of: u64, which: impl Fn(&MemberState) -> bool) -> Vec<Arc<dyn Neighbour>> {
        self.members
            .iter()
            .filter(|(id, member)| **id != of && which(member))
            .filter_map(|(_, member)| member.neighbour.clone())
            .collect()
    }
}

/// A pool's part in a [`Quota`].
pub(crate) struct Member {
    shared: Arc<Shared>,
    id: u64,
}

impl Member {
    /// Names the one who lets go of connections.
    pub(crate) fn introduce(&self, neighbour: Arc<dyn Neighbour>) {
        if let Some(member) = self.shared.state().members.get_mut(&self.id) {
            member.neighbour = Some(neighbour);
        }
    }

    /// A place for one more connection, where there is one. If not, the others are asked to let one
    /// go, and [`Neighbour::room`] tells when.
    pub(crate) fn take(&self) -> Option<Place> {
        let neighbours = {
            let mut state = self.shared.state();
            if state.has_room(self.id, self.shared.max) {
                state.members.get_mut(&self.id)?.open += 1;
                return Some(Place {
                    shared: Arc::clone(&self.shared),
                    id: self.id,
                });
            }
            state.neighbours(self.id, |other| other.open > other.guaranteed)
        };
        // With no lock held: letting go of a connection ends here again.
        let _ = neighbours.iter().any(|neighbour| neighbour.let_one_go());
        None
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.shared.state();
            let Some(member) = state.members.get_mut(&self.id) else {
                return;
            };
            member.guaranteed = 0;
            let neighbour = member.neighbour.take();
            state.forget_if_gone(self.id);
            (neighbour, state.neighbours(self.id, |_| true))
        };
        gone.1.iter().for_each(|neighbour| neighbour.room());
    }
}

/// One connection of a member.
pub(crate) struct Place {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let neighbours = {
            let mut state = self.shared.state();
            if let Some(member) = state.members.get_mut(&self.id) {
                member.open -= 1;
            }
            state.forget_if_gone(self.id);
            // It may be another's turn, or one's own.
            state.neighbours(u64::MAX, |_| true)
        };
        neighbours.iter().for_each(|neighbour| neighbour.room());
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_guarantee_is_kept_free_and_the_rest_goes_to_who_asks() {
        let quota = Quota::new(5);
        let hot = quota.join(2).unwrap();
        let batch = quota.join(0).unwrap();
        let places: Vec<_> = std::iter::from_fn(|| batch.take()).collect();
        assert_eq!(places.len(), 3);
        let hot_places: Vec<_> = std::iter::from_fn(|| hot.take()).collect();
        assert_eq!(hot_places.len(), 2);
        drop(places);
        let more: Vec<_> = std::iter::from_fn(|| hot.take()).collect();
        assert_eq!(more.len(), 3);
        assert!(batch.take().is_none());
    }

    #[test]
    fn guarantees_do_not_exceed_the_limit_and_end_with_their_pool() {
        let quota = Quota::new(5);
        let first = quota.join(3).unwrap();
        assert_eq!(quota.join(3).err(), Some(2));
        let place = first.take();
        drop(first);
        assert!(quota.join(5).is_ok());
        assert_eq!(quota.0.state().members.len(), 1, "its connection lives on");
        drop(place);
        assert!(quota.0.state().members.is_empty());
    }

    proptest! {
        #[test]
        fn the_limit_and_every_guarantee_hold_in_any_order(
            max in 1u32..20,
            guarantees in prop::collection::vec(0u32..6, 1..5),
            steps in prop::collection::vec((0usize..5, any::<bool>()), 0..200),
        ) {
            let quota = Quota::new(max);
            let members: Vec<_> = guarantees
                .iter()
                .filter_map(|guaranteed| Some((*guaranteed as usize, quota.join(*guaranteed).ok()?)))
                .collect();
            prop_assume!(!members.is_empty());
            let mut open: Vec<Vec<Place>> = members.iter().map(|_| Vec::new()).collect();
            for (who, takes) in steps {
                let who = who % members.len();
                let (guaranteed, member) = &members[who];
                if !takes {
                    open[who].pop();
                } else if let Some(place) = member.take() {
                    open[who].push(place);
                } else {
                    prop_assert!(open[who].len() >= *guaranteed);
                }
                let total: usize = open.iter().map(Vec::len).sum();
                prop_assert!(total <= max as usize);
            }
        }
    }
}
