//! A promise about speed, and whether it is kept.

use std::fmt;

/// How much faster than a peer ours was, and how much it should be.
///
/// Its `Display` is the line that people and scripts read.
pub(crate) struct Target {
    name: String,
    measured: f64,
    wanted: f64,
}

impl Target {
    /// Judges what is printed: two decimals, and what follows is cut off rather than rounded up.
    pub(crate) fn new(name: String, measured: f64, wanted: f64) -> Self {
        Self {
            name,
            measured: (measured * 100.0).floor() / 100.0,
            wanted,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            measured,
            wanted,
        } = self;
        let verdict = if measured >= wanted { "met" } else { "missed" };
        write!(
            f,
            "target {name}: measured {measured:.2}x, wanted >= {wanted}x, {verdict}"
        )
    }
}
