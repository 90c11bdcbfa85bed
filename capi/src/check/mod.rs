//! The checked mode (`EVSHARD_CHECK`): it reports misuse of events and bases at the call, by the
//! function that was called, the event's address and the name of its callback.
//!
//! It keeps what it knows beside the program's memory: which events were set up, and for those that
//! are pending, what their memory must hold and which file their descriptor was. A report may be
//! made with a base's lock held. So it is kept, and logged where no lock is.

mod bases;
mod descriptors;
mod events;
mod reports;

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::abi::access::{event_ptr::EventPtr, is_privileged_for_caller, log};
use bases::Bases;
use descriptors::Descriptors;
use events::Events;
use reports::Reports;

/// `1` logs what is found. `abort` also ends the program, where it was found.
const VARIABLE: &str = "EVSHARD_CHECK";

static IS_ON: AtomicBool = AtomicBool::new(false);

/// How long `free` waits for what the mode knows.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(100);

thread_local! {
    /// Whether this thread holds the lock of `CHECKS`, and frees memory of the mode itself.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

static CHECKS: Mutex<Option<Checks>> = Mutex::new(None);

/// What the mode knows.
struct Checks {
    events: Events,
    bases: Bases,
    descriptors: Descriptors,
    reports: Reports,
}

/// Whether the mode is on. It is off until the first base is made.
#[inline]
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Turns the mode on if the environment asks for it. Call it before a base is made.
pub(crate) fn begin() {
    static ASKED: OnceLock<()> = OnceLock::new();
    ASKED.get_or_init(|| {
        let value = std::env::var_os(VARIABLE).unwrap_or_default();
        if value.is_empty() || value == "0" || is_privileged_for_caller() {
            return;
        }
        if value != "1" && value != "abort" {
            log::warn(&format!("{VARIABLE}={}: set 1, or abort, or 0 for none", value.display()));
            return;
        }
        *CHECKS.lock() = Some(Checks {
            events: Events::default(),
            bases: Bases::default(),
            descriptors: Descriptors::default(),
            reports: Reports::new(value == "abort"),
        });
        IS_ON.store(true, Ordering::Release);
    });
}

/// Does something if the mode is on; the default value if it is off.
#[inline]
fn with<R: Default>(action: impl FnOnce(&mut Checks) -> R) -> R {
    if is_on() { with_checks(action) } else { R::default() }
}

#[cold]
fn with_checks<R: Default>(action: impl FnOnce(&mut Checks) -> R) -> R {
    let mut checks = CHECKS.lock();
    IS_INSIDE.set(true);
    let result = checks.as_mut().map(action).unwrap_or_default();
    IS_INSIDE.set(false);
    result
}

/// The program, or the library itself, frees memory. Only `libevshard_check.so` calls it.
pub(crate) fn on_free(address: usize, size: usize) {
    if !is_on() || IS_INSIDE.get() {
        return;
    }
    // In a child of a process with threads, the lock may be held for ever.
    let Some(mut checks) = CHECKS.try_lock_for(LOCK_WAIT_MAX) else { return };
    IS_INSIDE.set(true);
    let is_found = checks.as_mut().is_some_and(|checks| checks.on_free(address, size));
    IS_INSIDE.set(false);
    drop(checks);
    // What the library frees holds no event, so no lock of a base is held here.
    if is_found {
        log_reports();
    }
}

/// Logs what was found. Call it without a lock of a base.
#[inline]
pub(crate) fn log_reports() {
    if is_on() {
        reports::log_all();
    }
}

/// The program sets an event up (`event_assign`), before its memory is written.
#[inline]
pub(crate) fn before_assign(event: EventPtr) {
    with(|checks| checks.before_assign(event));
    log_reports();
}

/// The event is set up.
#[inline]
pub(crate) fn after_assign(event: EventPtr) {
    with(|checks| checks.after_assign(event));
}

/// Whether a function may use the event. If not, the function must do nothing.
#[inline]
pub(crate) fn may_use(event: EventPtr, function: &str) -> bool {
    if !is_on() {
        return true;
    }
    let refused = with(|checks| !checks.may_use(event, function));
    log_reports();
    !refused
}

/// Whether `event_del` may use the event.
#[inline]
pub(crate) fn may_delete(event: EventPtr) -> bool {
    if !is_on() {
        return true;
    }
    let refused = with(|checks| !checks.may_delete(event));
    log_reports();
    !refused
}

/// The event's memory ends, or it is no event any more.
#[inline]
pub(crate) fn on_end(event: EventPtr) {
    with(|checks| checks.events.remove(event.address()));
}

pub(crate) use bases::{on_base, on_base_end, on_loop, on_loop_end};
pub(crate) use descriptors::before_wait;
pub(crate) use events::{is_as_left, on_idle, on_pending};
