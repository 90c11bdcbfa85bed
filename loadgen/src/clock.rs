//! The one clock of a run: monotonic time as whole nanoseconds since one epoch.
//!
//! It is not a timer: nothing waits here.

use std::time::{Duration, Instant};

/// Monotonic time since the run's epoch. All threads take their time stamps from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.epoch.elapsed())
    }
}

/// A duration as nanoseconds, at most 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as fractional seconds, for records and reports only.
pub(crate) fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
