//! Ending the loop and keeping it alive, from within it.

use std::time::Duration;

use crate::base::registry::Registry;
use crate::event::{EventId, EventSpec};

impl<C> Registry<C> {
    /// Leaves the loop after this pass over the active events (libevent: `event_base_loopexit`
    /// without a delay). Before the loop runs, makes it leave before its first wait.
    pub fn loop_exit(&mut self) {
        self.control.request_exit();
    }

    /// Does the same once a time has passed, by an event that can be freed to think better of it
    /// (libevent: `event_base_loopexit`).
    pub fn loop_exit_after(&mut self, delay: Duration) -> EventId {
        let exit =
            self.once(EventSpec::timer(), Some(delay), |registry, _, _| registry.loop_exit());
        exit.expect("a timer needs nothing of the kernel")
    }

    /// Leaves the loop after the running handler (libevent: `event_base_loopbreak`); events that
    /// are active stay so and run first when the loop is entered again.
    pub fn loop_break(&mut self) {
        self.control.request_break();
    }

    /// Has the loop look at descriptors and timers again after the running handler, before the
    /// other active events (libevent: `event_base_loopcontinue`).
    pub fn loop_continue(&mut self) {
        self.control.request_continue();
    }

    /// Whether the last loop ended by [`loop_exit`](Self::loop_exit).
    #[must_use]
    pub fn got_exit(&self) -> bool {
        self.control.got_exit()
    }

    /// Whether the last loop ended by [`loop_break`](Self::loop_break).
    #[must_use]
    pub fn got_break(&self) -> bool {
        self.control.got_break()
    }

    /// Keeps the loop running although no event is pending, until [`release`](Self::release) was
    /// called as often (libevent: `event_base_add_virtual_`): for work that will come from
    /// another thread.
    pub fn hold(&mut self) {
        self.counts.held();
    }

    /// Takes one [`hold`](Self::hold) back. Without one nothing happens.
    pub fn release(&mut self) {
        self.counts.released();
    }

    /// Reads the clock anew for the rest of this turn, after a long computation (libevent:
    /// `event_base_update_cache_time`).
    pub fn update_time(&mut self) {
        self.clock.refresh();
    }
}
