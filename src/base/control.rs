//! How a loop is asked to end, and what it remembers of that afterwards.

/// Requests to leave the loop. A request to exit may precede the loop; one to break may not, as
/// in libevent.
#[derive(Debug, Default)]
pub(super) struct Control {
    exit: bool,
    broken: bool,
    left_by_exit: bool,
}

impl Control {
    pub(super) fn request_exit(&mut self) {
        self.exit = true;
    }

    pub(super) fn request_break(&mut self) {
        self.broken = true;
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

    pub(super) fn leave_loop(&mut self) {
        self.left_by_exit = std::mem::take(&mut self.exit);
    }

    /// Whether the loop shall not go on to another turn.
    pub(super) fn should_stop(&self) -> bool {
        self.exit || self.broken
    }
}
