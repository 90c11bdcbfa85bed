//! Messages to the program: by its function, or to standard error as libevent writes them.

use std::ffi::{CString, c_int};
use std::io::Write;

use crate::abi::access::log_functions;

/// `EVENT_LOG_WARN` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning = 2,
    Error = 3,
}

/// `EVENT_ERR_ABORT_`: a fatal error that aborts instead of exiting.
pub(crate) const ABORT: c_int = 0xdead_dead_u32 as c_int;

/// Logs what libevent logs by `event_warnx`.
#[cold]
pub(crate) fn warn(message: &str) {
    log(Severity::Warning, message);
}

/// Logs a line. A zero byte ends it.
pub(crate) fn log(severity: Severity, message: &str) {
    let end = message.find('\0').unwrap_or(message.len());
    let message = CString::new(&message[..end]).unwrap_or_default();
    if log_functions::log(severity as c_int, &message) {
        return;
    }
    let name = match severity {
        Severity::Warning => "warn",
        Severity::Error => "err",
    };
    // If standard error is closed, the line is lost.
    let _ = writeln!(std::io::stderr(), "[{name}] {}", message.to_string_lossy());
}

/// Logs an error and ends the program: by its function if it set one (`event_set_fatal_callback`),
/// else with this exit code, or by `abort` for [`ABORT`].
#[cold]
pub(crate) fn fatal(code: c_int, message: &str) -> ! {
    log(Severity::Error, message);
    log_functions::fatal(code);
    if code == ABORT {
        std::process::abort();
    }
    std::process::exit(code);
}
