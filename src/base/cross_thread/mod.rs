//! Other threads: the wake word, the notifier, and the inbox of jobs for the base.

pub(super) mod inbox;
pub(super) mod notify;
pub(super) mod wake;
