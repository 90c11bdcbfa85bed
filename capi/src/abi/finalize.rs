//! Finalizers: `event_finalize`, `event_free_finalize`.

use std::ffi::{c_int, c_uint};

use super::access::event_ptr::EventPtr;
use super::access::layout::{Closure, EventFinalizer, Function};
use crate::abi::access::log;

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_finalize(
    _: c_uint,
    event: EventPtr,
    function: Option<EventFinalizer>,
) -> c_int {
    finalize(event, Closure::FinalizeEvent, function)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_free_finalize(
    _: c_uint,
    event: EventPtr,
    function: Option<EventFinalizer>,
) -> c_int {
    finalize(event, Closure::FinalizeAndFreeEvent, function)
}

fn finalize(event: EventPtr, closure: Closure, function: Option<EventFinalizer>) -> c_int {
    if event.base().is_null() {
        log::warn("event_finalize: event has no event_base set.");
        return -1;
    }
    event.base().get().finalize(event.callback(), closure, Function::of_finalizer(function));
    0
}
