//! Counts of a base: its events by membership, and what its loop did.

/// Counts of the user's memberships, current or maximal (libevent: `event_base_get_num_events`,
/// `event_base_get_max_events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Memberships of events: one for a watched descriptor or signal, one for a running timeout,
    /// one while active.
    pub added: usize,
    /// Events that are active.
    pub active: usize,
    /// Holds that keep the loop alive without an event; see
    /// [`Registry::hold`](crate::Registry::hold).
    pub held: usize,
}

/// Memberships of the user's events by kind; see [`EventCounts::added`] for their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MembershipCounts {
    /// Events that wait for a descriptor.
    pub descriptors: usize,
    /// Events that wait for a signal.
    pub signals: usize,
    /// Timeouts that run.
    pub timeouts: usize,
    /// Events that are active.
    pub active: usize,
}

/// Counts that the base updates as memberships begin and end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) now: EventCounts,
    max: EventCounts,
    /// Events of the base itself.
    pub(super) internal: usize,
}

impl Counts {
    pub(super) fn max(&self) -> EventCounts {
        self.max
    }

    pub(super) fn reset_max(&mut self) {
        self.max = self.now;
    }

    /// Counts a membership. `by` is 0 for the base's own events, else 1.
    pub(super) fn add(&mut self, by: usize) {
        self.now.added += by;
        if self.now.added > self.max.added {
            self.max.added = self.now.added;
        }
    }

    pub(super) fn remove(&mut self, by: usize) {
        self.now.added -= by;
    }

    pub(super) fn activate(&mut self, by: usize) {
        self.add(by);
        self.now.active += by;
        if self.now.active > self.max.active {
            self.max.active = self.now.active;
        }
    }

    pub(super) fn deactivate(&mut self, by: usize) {
        self.remove(by);
        self.now.active -= by;
    }

    pub(super) fn hold(&mut self) {
        self.now.held += 1;
        self.max.held = self.max.held.max(self.now.held);
    }

    pub(super) fn release(&mut self) {
        self.now.held = self.now.held.saturating_sub(1);
    }

    /// Whether the user has no pending or active event and no hold: there is nothing to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.now.added + self.now.held == 0
    }
}

/// What a loop did since its base was created: plain counters of the base's own thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopStats {
    /// Waits for readiness: one per turn of the loop.
    pub waits: u64,
    /// Waits that failed for a transient reason, such as a lack of memory, failed again at once,
    /// and were made again after a pause. So an interruption by a signal does not count.
    pub wait_errors: u64,
    /// Times that a turn asked the kernel a second time or more, because its answer was not
    /// complete.
    pub repeated_waits: u64,
    /// Waits that another thread, or an action during the wait, ended through the wake word.
    pub notified_waits: u64,
    /// Descriptors that waits reported ready.
    pub events: u64,
    /// Handlers of the user's events called.
    pub calls: u64,
    /// Entries of the epoll backend's event array now: the most descriptors that one wait can
    /// report. 0 with other backends, which have no such array.
    pub event_capacity: u64,
    /// Net changes of interest passed to the kernel.
    pub changes: u64,
    /// Changes merged into an unflushed change of the same descriptor. Always 0 with the immediate
    /// changelist. With the deferred one, the sum of this, `changes_cancelled` and `changes` is the
    /// number of all changes flushed.
    pub changes_coalesced: u64,
    /// Descriptors whose merged changes cancelled out at a flush, so that the kernel was not
    /// called.
    pub changes_cancelled: u64,
}
