//! What the benchmarks of this crate share.

pub(crate) mod bench;
pub(crate) mod contest;
pub(crate) mod crowd;
pub(crate) mod operation;
pub(crate) mod target;
