//! Signals that end the program: the first ends the run, the second ends the program at once.
//!
//! They are SIGINT, SIGTERM, SIGQUIT, and SIGHUP of a terminal that is closed. A signal only sets a
//! flag, which the workers read.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use crate::exit;

/// Time between two checks for a signal while something blocks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether the user requested to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs handlers for the signals. SIGHUP stays ignored if it was, as by nohup(1). A shell
    /// starts programs in the background with SIGINT and SIGQUIT ignored, and yet scripts end them
    /// so.
    pub(crate) fn install() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let hangup = (!is_hangup_ignored()).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM, SIGQUIT].into_iter().chain(hangup) {
            // Handlers run in the order of registration. This one acts only if the flag is
            // already set, that is, on the second signal.
            flag::register_conditional_shutdown(
                signal,
                i32::from(exit::INTERRUPTED),
                Arc::clone(&requested),
            )?;
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Self(requested))
    }

    /// An interrupt without signal handlers, for tests.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// An interrupt that was requested, for tests.
    #[cfg(test)]
    pub(crate) fn requested() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Calls `work`, which may block, in a thread of its own. Returns its result, or nothing if a
    /// signal is received before. Then the program ends, and the thread with it.
    pub(crate) fn or<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(work()));
        loop {
            match receiver.recv_timeout(LOOK_AGAIN) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if !self.is_requested() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Requests to stop, as a signal does.
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a signal has been received.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the process ignores SIGHUP (proc_pid_status(5)); false if that is not known.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default() & (1 << (SIGHUP - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_is_left_behind_once_a_signal_is_received() {
        let interrupt = Interrupt::never();
        assert_eq!(interrupt.or(|| 7), Some(7));
        interrupt.request();
        let blocked = || {
            loop {
                thread::park();
            }
        };
        assert_eq!(interrupt.or(blocked), None::<()>);
    }
}
