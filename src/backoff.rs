//! How long to wait before the next attempt. Arithmetic only.

use std::time::Duration;

/// Full jitter: a wait drawn evenly from zero to a ceiling that doubles with every attempt.
///
/// Full jitter spreads a crowd of clients best, since no two of them share a rhythm
/// (AWS Architecture Blog, "Exponential Backoff And Jitter").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The ceiling of the first wait.
    pub(crate) initial: Duration,
    /// The ceiling of every later wait.
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait after the `attempt`-th failed attempt, counted from 1; `random` is in `0.0..1.0`.
    pub(crate) fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let ceiling = self.initial.saturating_mul(doubled).min(self.max);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        initial: Duration::from_millis(50),
        max: Duration::from_secs(2),
    };

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let ceilings: Vec<u128> = (1..=8)
            .map(|attempt| BACKOFF.delay(attempt, 1.0).as_millis())
            .collect();
        assert_eq!(ceilings, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(BACKOFF.delay(u32::MAX, 1.0), BACKOFF.max);
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_zero_and_the_ceiling(attempt: u32, random in 0.0f64..1.0) {
            let ceiling = BACKOFF.delay(attempt, 1.0);
            let delay = BACKOFF.delay(attempt, random);
            prop_assert!(delay <= ceiling && ceiling <= BACKOFF.max);
            let share = delay.as_secs_f64() / ceiling.as_secs_f64();
            prop_assert!((share - random).abs() < 1e-6);
        }
    }
}
