//! What a base counts: its events by membership, and what its loop did.

/// How many of the user's events have each membership.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) inserted: usize,
    pub(super) timers: usize,
    pub(super) active: usize,
    /// Events that exist and belong to the base itself.
    pub(super) internal: usize,
}

/// What a loop did since its base was made; plain counters of the base's own thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopStats {
    /// Waits for readiness: one a turn of the loop.
    pub waits: u64,
    /// Descriptors that waits reported ready.
    pub events: u64,
    /// Handlers of the user's events called.
    pub calls: u64,
    /// Net changes of interest that the kernel was told.
    pub changes: u64,
}
