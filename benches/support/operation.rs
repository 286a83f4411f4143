//! What is measured: the same operation, written as each peer's user would write it.

/// Something that a task does over and over.
pub(crate) trait Operation: Clone + Send + Sync + 'static {
    /// Does it once, as task number `task`.
    fn perform(&self, task: usize) -> impl Future<Output = ()> + Send;
}
