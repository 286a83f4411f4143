use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

/// The client connections of one gateway: counted, and cut on demand.
#[derive(Default)]
pub(super) struct Connections {
    register: Arc<Register>,
}

impl Connections {
    /// Enters a new connection, which leaves the register when dropped.
    pub(super) fn register(&self) -> Connection {
        let (cut, cut_signal) = oneshot::channel();
        let (silence, silence_signal) = watch::channel(false);
        let mut entries = self.register.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        // Once closed, dropping `cut` here cuts the newcomer before it starts.
        if !entries.closed {
            entries.open.insert(
                id,
                Entry {
                    _cut: cut,
                    silence,
                    logged_in: false,
                },
            );
        }
        drop(entries);
        Connection {
            id,
            register: Arc::clone(&self.register),
            cut: Some(cut_signal),
            silence: silence_signal,
        }
    }

    pub(super) fn logged_in(&self) -> usize {
        *self.register.logged_in.borrow()
    }

    pub(super) async fn wait_for(&self, clients: usize) {
        let mut logged_in = self.register.logged_in.subscribe();
        // Cannot fail: the register holds the sending half.
        let _ = logged_in.wait_for(|now| *now == clients).await;
    }

    /// Silences all connections and returns how many there were.
    pub(super) fn silence(&self) -> usize {
        let entries = self.register.lock();
        for entry in entries.open.values() {
            entry.silence.send_replace(true);
        }
        entries.open.len()
    }

    /// Cuts all connections and returns how many there were.
    pub(super) fn kill(&self) -> usize {
        let mut entries = self.register.lock();
        let killed = entries.open.len();
        entries.open.clear();
        self.register.count(&entries);
        killed
    }

    /// Cuts all connections, and every later one.
    pub(super) fn close(&self) {
        self.register.lock().closed = true;
        self.kill();
    }
}

/// One connection's place in the register.
pub(super) struct Connection {
    id: u64,
    register: Arc<Register>,
    cut: Option<oneshot::Receiver<()>>,
    silence: watch::Receiver<bool>,
}

impl Connection {
    /// Resolves, always with an error, when the connection is to be cut. Taken once.
    pub(super) fn cut(&mut self) -> oneshot::Receiver<()> {
        self.cut.take().unwrap_or_else(|| oneshot::channel().1)
    }

    /// Turns to `true` when nothing is to come through any more.
    pub(super) fn silence(&self) -> watch::Receiver<bool> {
        self.silence.clone()
    }

    /// Counts the client as logged in. Call it before the client can know that it is.
    pub(super) fn logged_in(&self) {
        let mut entries = self.register.lock();
        // Absent if it was killed a moment ago.
        if let Some(entry) = entries.open.get_mut(&self.id) {
            entry.logged_in = true;
        }
        self.register.count(&entries);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut entries = self.register.lock();
        entries.open.remove(&self.id);
        self.register.count(&entries);
    }
}

#[derive(Default)]
struct Register {
    /// Held for a few map operations only and never across an await, hence not tokio's mutex.
    entries: Mutex<Entries>,
    /// Published while `entries` is locked, so that counts cannot overtake each other.
    logged_in: watch::Sender<usize>,
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, entries: &Entries) {
        let logged_in = entries
            .open
            .values()
            .filter(|entry| entry.logged_in)
            .count();
        self.logged_in.send_if_modified(|count| {
            let changed = *count != logged_in;
            *count = logged_in;
            changed
        });
    }
}

#[derive(Default)]
struct Entries {
    next_id: u64,
    open: HashMap<u64, Entry>,
    closed: bool,
}

struct Entry {
    /// Cuts the connection by being dropped.
    _cut: oneshot::Sender<()>,
    silence: watch::Sender<bool>,
    logged_in: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_connections_that_logged_in_and_live_are_counted() {
        let connections = Connections::default();
        let one = connections.register();
        let other = connections.register();
        assert_eq!(connections.logged_in(), 0);
        one.logged_in();
        other.logged_in();
        connections.wait_for(2).await;
        drop(one);
        assert_eq!(connections.logged_in(), 1);
    }

    #[tokio::test]
    async fn killing_cuts_all_and_counts_them_out_at_once() {
        let connections = Connections::default();
        let mut logged_in = connections.register();
        let mut logging_in = connections.register();
        logged_in.logged_in();
        assert_eq!(connections.kill(), 2);
        assert_eq!(connections.logged_in(), 0);
        logging_in.logged_in();
        assert_eq!(connections.logged_in(), 0);
        assert!(logged_in.cut().await.is_err());
        assert!(logging_in.cut().await.is_err());
        assert_eq!(connections.kill(), 0);
    }

    #[tokio::test]
    async fn a_closed_register_cuts_newcomers() {
        let connections = Connections::default();
        connections.close();
        assert!(connections.register().cut().await.is_err());
    }
}
