//! How often a pool may try again. Arithmetic only.

use std::sync::atomic::{AtomicU32, Ordering};

/// A bucket of tokens: trying again takes some, and work that succeeds puts a few back.
///
/// While most work succeeds there is always enough. When everything fails, the bucket is soon
/// empty, and a database in trouble sees each unit of work once, not three times: retries are then
/// at most a fifth of what still succeeds. The numbers are those of the AWS SDKs' standard mode.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: AtomicU32,
}

const CAPACITY: u32 = 500;
const COST: u32 = 5;
const REFUND: u32 = 1;

impl Default for Budget {
    fn default() -> Self {
        Self {
            tokens: AtomicU32::new(CAPACITY),
        }
    }
}

impl Budget {
    /// Pays for one more attempt, if that can be afforded.
    pub(crate) fn spend(&self) -> bool {
        let spent = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                tokens.checked_sub(COST)
            });
        spent.is_ok()
    }

    /// Work has succeeded, after an attempt that was `paid` for or at once.
    pub(crate) fn succeeded(&self, paid: bool) {
        let refund = if paid { COST } else { REFUND };
        // A full bucket is not written: that is what it is nearly always.
        let _ = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens < CAPACITY).then(|| (tokens + refund).min(CAPACITY))
            });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_outage_is_not_multiplied() {
        let budget = Budget::default();
        let afforded = (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(afforded, 100);
        for _ in 0..5 {
            assert!(!budget.spend());
            budget.succeeded(false);
        }
        assert!(budget.spend(), "a retry for every five that succeed");
    }

    proptest! {
        #[test]
        fn what_is_spent_was_there(steps in prop::collection::vec(any::<Option<bool>>(), 0..2_000)) {
            let budget = Budget::default();
            let (mut spent, mut earned) = (0, 0);
            for step in steps {
                match step {
                    None => spent += u32::from(budget.spend()) * COST,
                    Some(paid) => {
                        budget.succeeded(paid);
                        earned += if paid { COST } else { REFUND };
                    }
                }
                prop_assert!(spent <= CAPACITY + earned);
                prop_assert!(budget.tokens.load(Ordering::Relaxed) <= CAPACITY);
            }
        }
    }
}
