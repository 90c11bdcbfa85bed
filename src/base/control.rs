//! How a loop is asked to end or to look again, and what it remembers of that afterwards.

use crate::event::EventId;

/// Requests to the loop. One to exit may precede it; one to break may not, as in libevent.
#[derive(Debug, Default)]
pub(super) struct LoopControl {
    exit: bool,
    broken: bool,
    /// The rest of the queue waits until the loop has looked again.
    continues: bool,
    left_by_exit: bool,
    /// The event whose handler runs, and its priority.
    running: Option<EventId>,
    priority: u8,
    /// Calls that a signal delivered several times still has to make.
    calls_left: u32,
}

impl LoopControl {
    pub(super) fn request_exit(&mut self) {
        self.exit = true;
    }

    pub(super) fn request_break(&mut self) {
        self.broken = true;
    }

    pub(super) fn request_continue(&mut self) {
        self.continues = true;
    }

    pub(super) fn got_exit(&self) -> bool {
        self.left_by_exit
    }

    pub(super) fn got_break(&self) -> bool {
        self.broken
    }

    pub(super) fn enter_loop(&mut self) {
        self.broken = false;
        self.left_by_exit = false;
    }

    /// Also when a handler panicked: the next loop finds nothing of this one but its end.
    pub(super) fn leave_loop(&mut self) {
        self.left_by_exit = std::mem::take(&mut self.exit);
        self.running = None;
        self.calls_left = 0;
    }

    pub(super) fn begin_turn(&mut self) {
        self.continues = false;
    }

    /// Whether the loop shall not go on to another turn.
    pub(super) fn should_stop(&self) -> bool {
        self.exit || self.broken
    }

    /// Whether the rest of the queue shall not run in this turn.
    pub(super) fn ends_pass(&self) -> bool {
        self.broken || self.continues
    }

    pub(super) fn begin_handler(&mut self, id: EventId, priority: u8, calls: u32) {
        self.running = Some(id);
        self.priority = priority;
        self.calls_left = calls.saturating_sub(1);
    }

    /// Whether the handler that just returned is to be called again; counts it.
    pub(super) fn calls_again(&mut self) -> bool {
        if self.calls_left == 0 || self.broken {
            return false;
        }
        self.calls_left -= 1;
        true
    }

    pub(super) fn end_handlers(&mut self) {
        self.running = None;
    }

    pub(super) fn running(&self) -> Option<EventId> {
        self.running
    }

    /// An event was deleted: if its handler runs, it is not called again for the same signal.
    pub(super) fn deleted(&mut self, id: EventId) {
        if self.running == Some(id) {
            self.calls_left = 0;
        }
    }

    /// An event became active: one more urgent than the running one is not kept waiting.
    pub(super) fn activated(&mut self, priority: u8) {
        self.continues |= priority < self.priority && self.running.is_some();
    }
}
