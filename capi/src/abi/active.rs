//! Activation by hand: `event_active`.

use std::ffi::{c_int, c_short};

use super::access::event_ptr::EventPtr;
use crate::abi::access::log;
use crate::check;

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_active(event: EventPtr, result: c_int, calls: c_short) {
    if !check::may_use(event, "event_active") {
        return;
    }
    if event.base().is_null() {
        log::warn("event_active: event has no event_base set.");
        return;
    }
    event.base().get().activate(event, result, calls);
    check::log_reports();
}

/// Activates an event in the next turn. For libevent's upper layers.
#[unsafe(no_mangle)]
pub(super) extern "C" fn event_active_later_(event: EventPtr, result: c_int) {
    event.base().get().activate_later(event, result);
}
