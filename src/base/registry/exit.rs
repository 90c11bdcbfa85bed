//! Ends the loop or keeps it alive, from within a handler.

use std::time::Duration;

use super::Registry;
use crate::event::{EventId, EventSpec};

impl<C> Registry<C> {
    /// Ends the loop after this pass over the active events (libevent: `event_base_loopexit`
    /// without a delay). Called before the loop runs, it ends the loop before its first wait.
    pub fn loop_exit(&mut self) {
        self.control.request_exit();
    }

    /// Ends the loop after a delay (libevent: `event_base_loopexit`). Returns the timer's event;
    /// free it to cancel.
    pub fn loop_exit_after(&mut self, delay: Duration) -> EventId {
        let exit =
            self.once(EventSpec::timer(), Some(delay), |registry, _, _| registry.loop_exit());
        exit.expect("adding a timer needs no system call")
    }

    /// Ends the loop after the running handler (libevent: `event_base_loopbreak`). Active events
    /// stay active and run first when the loop runs again.
    pub fn loop_break(&mut self) {
        self.control.request_break();
    }

    /// Makes the loop poll descriptors and timers again after the running handler, before it runs
    /// other active events (libevent: `event_base_loopcontinue`).
    pub fn loop_continue(&mut self) {
        self.control.request_continue();
    }

    /// Whether the loop must exit, or the last one did so, by [`loop_exit`](Self::loop_exit).
    #[must_use]
    pub fn got_exit(&self) -> bool {
        self.control.got_exit()
    }

    /// Whether the last loop ended by [`loop_break`](Self::loop_break).
    #[must_use]
    pub fn got_break(&self) -> bool {
        self.control.got_break()
    }

    /// Keeps the loop running although no event is pending, until [`release`](Self::release) is
    /// called as often (libevent: `event_base_add_virtual_`). Use it while another thread will
    /// still send work.
    pub fn hold(&mut self) {
        self.events.counts.hold();
    }

    /// Undoes one [`hold`](Self::hold); has no effect without one.
    pub fn release(&mut self) {
        self.events.counts.release();
    }
}
