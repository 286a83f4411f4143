//! How many connections of a pool are open at the server.

use std::sync::Arc;

use tokio::sync::watch;

use crate::quota::Place;

/// Counts connections from before they are opened until their goodbye to the server has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census(Arc<watch::Sender<usize>>);

impl Census {
    /// Counts one more, once fewer than `max` are open.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is counted.
    pub(crate) async fn enter(&self, max: usize) -> Presence {
        let mut changes = self.0.subscribe();
        loop {
            let entered = self.0.send_if_modified(|open| {
                let has_room = *open < max;
                *open += usize::from(has_room);
                has_room
            });
            if entered {
                return Presence {
                    count: Arc::clone(&self.0),
                    place: None,
                };
            }
            // Cannot fail: `self` holds the sending half.
            let _ = changes.changed().await;
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Resolves at the next change after this call.
    pub(crate) fn change(&self) -> impl Future<Output = ()> {
        let mut changes = self.0.subscribe();
        async move {
            // Cannot fail, as above.
            let _ = changes.changed().await;
        }
    }

    /// Waits until fewer than `count` are open.
    pub(crate) async fn below(&self, count: usize) {
        // Cannot fail, as above.
        let _ = self.0.subscribe().wait_for(|open| *open < count).await;
    }
}

/// Counts a connection as open for as long as it lives.
#[derive(Debug)]
pub(crate) struct Presence {
    count: Arc<watch::Sender<usize>>,
    place: Option<Place>,
}

impl Presence {
    /// Keeps a place among the pools that share connections for as long.
    pub(crate) fn hold(&mut self, place: Option<Place>) {
        self.place = place;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.count.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn whoever_comes_waits_for_whoever_goes() {
        let census = Census::default();
        let [first, second] = [(), ()].map(|()| census.enter(2).now_or_never().unwrap());
        let mut third = Box::pin(census.enter(2));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        let third = third.now_or_never().unwrap();
        assert!(census.below(2).now_or_never().is_none());
        drop((second, third));
        census.below(1).now_or_never().unwrap();
    }
}
