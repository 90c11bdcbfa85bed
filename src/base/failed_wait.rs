//! Waits that fail for a transient reason: counted, logged, and made again after a pause.

use std::io;
use std::time::{Duration, Instant};

use super::back_off::BackOff;

/// The first pause: short, because most reasons pass at once.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause. It is the longest delay of an event once waits succeed again.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The failed waits of one base.
#[derive(Debug)]
pub(super) struct FailedWaits {
    back_off: BackOff,
    /// The pause before the next wait.
    pause: Option<Duration>,
    /// Since the base was created.
    pub(super) count: u64,
}

impl FailedWaits {
    pub(super) fn new() -> Self {
        let back_off = BackOff::new(PAUSE_MIN, PAUSE_MAX);
        Self { back_off, pause: None, count: 0 }
    }

    /// A wait succeeded.
    pub(super) fn end(&mut self) {
        self.back_off.reset();
    }

    /// Counts and logs a failure. The next wait begins with a pause.
    #[cold]
    pub(super) fn count(&mut self, error: &io::Error) {
        self.count += 1;
        let pause = self.back_off.next_pause();
        self.pause = Some(pause);
        if self.back_off.is_time_to_log(Instant::now()) {
            log_failure(error, self.count, pause);
        }
    }

    /// Takes the pause before the next wait, if there is one.
    #[inline]
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }
}

#[cfg(feature = "server")]
fn log_failure(error: &io::Error, failures: u64, pause: Duration) {
    let thread = std::thread::current();
    let (thread, pause_ms) = (thread.name().unwrap_or("unnamed"), pause.as_millis() as u64);
    log::warn!(
        target: "base", thread, error:%, failures, pause_ms;
        "a wait for events fails and is made again; free memory or raise its limit"
    );
}

/// The event base alone has no logger. The count remains.
#[cfg(not(feature = "server"))]
fn log_failure(_error: &io::Error, _failures: u64, _pause: Duration) {}
