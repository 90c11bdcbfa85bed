//! What a base counts: its events by membership, and what its loop did.

/// How many of the user's memberships there are, and how many there were at most (libevent:
/// `event_base_get_num_events`, `event_base_get_max_events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Memberships of events: one for a watched descriptor or signal, one for a running timeout,
    /// one while active.
    pub added: usize,
    /// Events that are active.
    pub active: usize,
    /// Holds that keep the loop alive without an event; see
    /// [`Registry::hold`](super::Registry::hold).
    pub held: usize,
}

/// Counts the base keeps as memberships begin and end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) now: EventCounts,
    max: EventCounts,
    /// Events that exist and belong to the base itself.
    pub(super) internal: usize,
}

impl Counts {
    pub(super) fn max(&self) -> EventCounts {
        self.max
    }

    pub(super) fn reset_max(&mut self) {
        self.max = self.now;
    }

    /// `by` is 0 for the base's own events, else 1.
    pub(super) fn joined(&mut self, by: usize) {
        self.now.added += by;
        self.max.added = self.max.added.max(self.now.added);
    }

    pub(super) fn left(&mut self, by: usize) {
        self.now.added -= by;
    }

    pub(super) fn activated(&mut self, by: usize) {
        self.joined(by);
        self.now.active += by;
        self.max.active = self.max.active.max(self.now.active);
    }

    pub(super) fn deactivated(&mut self, by: usize) {
        self.left(by);
        self.now.active -= by;
    }

    pub(super) fn held(&mut self) {
        self.now.held += 1;
        self.max.held = self.max.held.max(self.now.held);
    }

    pub(super) fn released(&mut self) {
        self.now.held = self.now.held.saturating_sub(1);
    }

    /// Whether nothing of the user's is pending, active or held: there is nothing to wait for.
    pub(super) fn nothing_to_do(&self) -> bool {
        self.now.added + self.now.held == 0
    }
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
    /// Places of the backend's event array now: at most as many descriptors can a wait report. 0
    /// where the backend has none, as all but epoll.
    pub event_capacity: u64,
    /// Net changes of interest that the kernel was told.
    pub changes: u64,
    /// Changes folded into one of the same descriptor that was not flushed yet. Always 0 where
    /// the kernel learns of each change at once; with the deferred changelist this,
    /// `changes_cancelled` and `changes` are together all changes flushed.
    pub changes_coalesced: u64,
    /// Descriptors whose changes, all taken together, were found to be none at a flush: the kernel
    /// was told nothing.
    pub changes_cancelled: u64,
}
