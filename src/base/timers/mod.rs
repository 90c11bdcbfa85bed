//! Timers: the clock, the timer heap, and the running timeouts.

pub(super) mod clock;
pub(super) mod common_timeout;
pub(super) mod deadlines;
mod heap;
