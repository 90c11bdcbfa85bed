//! The functions of libevent 1.x, which use the base of `event_init`.

use std::ffi::{c_char, c_int, c_void};

use libc::timeval;

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::EventPtr;
use super::access::layout::{EventFlags, EventFunction};
use super::base::{event_base_get_method, event_base_new, event_base_priority_init};
use super::event::event_assign;
use super::event_loop::{event_base_loop, event_base_loopbreak, event_base_loopexit};
use super::once::event_base_once;
use crate::abi::access::log;
use crate::debug::MODE;

#[unsafe(no_mangle)]
extern "C" fn event_init() -> BasePtr {
    let base = event_base_new();
    if base.is_null() {
        log::fatal(1, "event_init: Unable to construct event_base");
    }
    base.make_current();
    base
}

#[unsafe(no_mangle)]
extern "C-unwind" fn event_dispatch() -> c_int {
    event_base_loop(BasePtr::current(), 0)
}

#[unsafe(no_mangle)]
extern "C-unwind" fn event_loop(flags: c_int) -> c_int {
    event_base_loop(BasePtr::current(), flags)
}

#[unsafe(no_mangle)]
extern "C" fn event_loopexit(delay: Option<&timeval>) -> c_int {
    event_base_loopexit(BasePtr::current(), delay)
}

#[unsafe(no_mangle)]
extern "C" fn event_loopbreak() -> c_int {
    event_base_loopbreak(BasePtr::current())
}

#[unsafe(no_mangle)]
extern "C" fn event_once(
    fd: c_int,
    events: EventFlags,
    function: Option<EventFunction>,
    argument: *mut c_void,
    timeout: Option<&timeval>,
) -> c_int {
    event_base_once(BasePtr::current(), fd, events, function, argument, timeout)
}

#[unsafe(no_mangle)]
extern "C" fn event_priority_init(priorities: c_int) -> c_int {
    event_base_priority_init(BasePtr::current(), priorities)
}

#[unsafe(no_mangle)]
extern "C" fn event_get_method() -> *const c_char {
    event_base_get_method(BasePtr::current())
}

#[unsafe(no_mangle)]
extern "C" fn event_set(
    event: EventPtr,
    fd: c_int,
    events: EventFlags,
    function: Option<EventFunction>,
    argument: *mut c_void,
) {
    if event_assign(event, BasePtr::current(), fd, events, function, argument) != 0 {
        log::fatal(log::ABORT, "event_set: EV_SIGNAL excludes EV_READ, EV_WRITE and EV_CLOSED");
    }
}

/// Frees what the library holds for the whole process: what the debug mode knows.
#[unsafe(no_mangle)]
extern "C" fn libevent_global_shutdown() {
    MODE.disable();
}
