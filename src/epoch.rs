//! Which idle connections a failure throws doubt on. Counters, no I/O.

use std::sync::atomic::{AtomicU64, Ordering};

/// The pool's present epochs.
///
/// A connection that turns out dead ends the epoch of those that are as old as the last sign of
/// life from it; a server that turns out to be a reader ends the epoch of all that lead to it.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    life: AtomicU64,
    writer: AtomicU64,
}

/// The epochs that a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    life: u64,
    writer: u64,
}

/// What is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Whether the server is there.
    Life,
    /// Whether the server is still the writer.
    Writer,
}

impl Epochs {
    pub(crate) fn now(&self) -> Epoch {
        Epoch {
            life: self.life.load(Ordering::Relaxed),
            writer: self.writer.load(Ordering::Relaxed),
        }
    }

    /// Ends the epoch of a connection that failed.
    ///
    /// Only the first of a crowd ends it, or its successors would throw doubt on each other's
    /// replacements.
    pub(crate) fn end(&self, epoch: Epoch, doubt: Doubt) {
        let (counter, seen) = match doubt {
            Doubt::Life => (&self.life, epoch.life),
            Doubt::Writer => (&self.writer, epoch.writer),
        };
        let _ = counter.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A connection has just shown life, which says nothing about who is the writer.
    pub(crate) fn renew(&self, epoch: Epoch) -> Epoch {
        Epoch {
            life: self.life.load(Ordering::Relaxed),
            ..epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_fails_together_ends_one_epoch() {
        let epochs = Epochs::default();
        let old = epochs.now();
        for _ in 0..8 {
            epochs.end(old, Doubt::Life);
        }
        let new = epochs.now();
        assert_ne!(old, new);
        epochs.end(old, Doubt::Life);
        assert_eq!(epochs.now(), new);
    }

    #[test]
    fn life_is_renewed_and_a_reader_stays_one() {
        let epochs = Epochs::default();
        let old = epochs.now();
        epochs.end(old, Doubt::Life);
        assert_eq!(epochs.renew(old), epochs.now());
        epochs.end(old, Doubt::Writer);
        assert_ne!(epochs.renew(old), epochs.now());
    }
}
