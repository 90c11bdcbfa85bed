//! Signals that end the program: the first ends the run, the second ends the program at once.
//!
//! They are SIGINT, SIGTERM, SIGQUIT, and SIGHUP of a terminal that is closed. A signal only sets a
//! flag, which the workers read.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use crate::exit;

/// Whether the user requested to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs handlers for the signals. One that the process was started to ignore, as by
    /// nohup(1), stays ignored.
    pub(crate) fn install() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let ignored = ignored_signals();
        let signals = [SIGINT, SIGTERM, SIGQUIT, SIGHUP].into_iter();
        for signal in signals.filter(|signal| ignored & (1 << (signal - 1)) == 0) {
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

    /// Whether a signal has been received.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signals that the process ignores, a bit for each (proc_pid_status(5)); none if that is not
/// known.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
