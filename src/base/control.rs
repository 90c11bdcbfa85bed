//! Loop control: requests to end the loop or to poll again, and how the last loop ended.

use crate::event::EventId;

/// Scheduled events that still run in their turn. libevent runs the same number, one more than the
/// constant it compares with. A chain of layers settles in one turn, and sockets are polled soon.
const SCHEDULED_MAX: u32 = 33;

/// Requests to the loop. A request to exit may precede the loop; a request to break may not, as in
/// libevent.
#[derive(Debug, Default)]
pub(super) struct LoopControl {
    exit: bool,
    broken: bool,
    /// The remaining active events wait until the loop has polled again.
    continues: bool,
    left_by_exit: bool,
    /// The event whose handler runs, and its priority.
    running: Option<EventId>,
    priority: u8,
    /// Remaining calls for a signal that was delivered several times.
    calls_left: u32,
    /// How many events were scheduled in this turn.
    scheduled: u32,
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
        self.exit || self.left_by_exit
    }

    pub(super) fn got_break(&self) -> bool {
        self.broken
    }

    pub(super) fn enter_loop(&mut self) {
        self.broken = false;
        self.left_by_exit = false;
    }

    /// Runs also when a handler panicked, so that the next loop finds only how this one ended.
    pub(super) fn leave_loop(&mut self) {
        self.left_by_exit = std::mem::take(&mut self.exit);
        self.running = None;
        self.calls_left = 0;
    }

    pub(super) fn begin_turn(&mut self) {
        self.continues = false;
        self.scheduled = 0;
    }

    /// Counts a scheduled event; returns whether it runs in this turn.
    pub(super) fn count_scheduled(&mut self) -> bool {
        let runs_now = self.scheduled < SCHEDULED_MAX;
        self.scheduled += u32::from(runs_now);
        runs_now
    }

    /// Whether the loop must end before another turn.
    pub(super) fn should_stop(&self) -> bool {
        self.exit || self.broken
    }

    /// Whether the pass ends before the remaining events of the queue.
    pub(super) fn ends_pass(&self) -> bool {
        self.broken || self.continues
    }

    /// The events of this priority are next.
    pub(super) fn begin_queue(&mut self, priority: u8) {
        self.priority = priority;
    }

    pub(super) fn begin_handler(&mut self, id: EventId) {
        self.running = Some(id);
    }

    /// The handler is called so many times for one signal.
    pub(super) fn call_times(&mut self, calls: u32) {
        self.calls_left = calls.saturating_sub(1);
    }

    /// Whether to call the handler that just returned again; counts that call.
    pub(super) fn calls_again(&mut self) -> bool {
        if self.calls_left == 0 {
            return false;
        }
        // After a break none of them follows.
        self.calls_left = if self.broken { 0 } else { self.calls_left - 1 };
        !self.broken
    }

    pub(super) fn end_handlers(&mut self) {
        self.running = None;
    }

    pub(super) fn running(&self) -> Option<EventId> {
        self.running
    }

    /// Notes the deletion of an event. If its handler is running, it is not called again for the
    /// same signal.
    pub(super) fn note_deleted(&mut self, id: EventId) {
        if self.running == Some(id) {
            self.calls_left = 0;
        }
    }

    /// Notes an activation. If the event is more urgent than the running one, the pass ends.
    pub(super) fn note_activated(&mut self, priority: u8) {
        if self.running.is_some() && priority < self.priority {
            self.continues = true;
        }
    }
}
