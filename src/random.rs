//! Randomness for jitter and names. It needs no cryptography, so the standard library's randomly
//! keyed hasher spares us a crate.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 64 random bits.
pub(crate) fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A number in `0.0..1.0`.
pub(crate) fn fraction() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (bits() >> 11) as f64 / (1u64 << 53) as f64;
    fraction
}
