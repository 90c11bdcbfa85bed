//! Messages and fatal errors: to the program's functions, or as libevent writes them.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

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
    if log_by_program(severity as c_int, &message) {
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
    fatal_by_program(code);
    if code == ABORT {
        std::process::abort();
    }
    std::process::exit(code);
}

pub(crate) type LogFunction = unsafe extern "C" fn(c_int, *const c_char);
pub(crate) type FatalFunction = unsafe extern "C" fn(c_int);

/// The addresses of a [`LogFunction`] and a [`FatalFunction`], or null.
static LOG: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static FATAL: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn set_log(function: Option<LogFunction>) {
    LOG.store(function.map_or(ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
}

pub(crate) fn set_fatal(function: Option<FatalFunction>) {
    FATAL.store(function.map_or(ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
}

/// Calls the program's function for messages; whether it has set one.
fn log_by_program(severity: c_int, message: &CStr) -> bool {
    let address = LOG.load(Ordering::Acquire);
    if address.is_null() {
        return false;
    }
    // SAFETY: the address is of a function of this type.
    let function = unsafe { std::mem::transmute::<*mut (), LogFunction>(address) };
    // SAFETY: the program passed a function that any thread may call with a C string.
    unsafe { function(severity, message.as_ptr()) };
    true
}

/// Calls the program's function for fatal errors, if it has set one.
fn fatal_by_program(code: c_int) {
    let address = FATAL.load(Ordering::Acquire);
    if !address.is_null() {
        // SAFETY: the address is of a function of this type.
        let function = unsafe { std::mem::transmute::<*mut (), FatalFunction>(address) };
        // SAFETY: the program passed a function that any thread may call.
        unsafe { function(code) }
    }
}
