//! Other threads: the wake word, the notifier and closures sent to the base.

pub(super) mod notify;
pub(super) mod remote;
pub(super) mod wake;
