//! The loop, and requests to it: `event_base_loop` and its relatives.

use std::ffi::c_int;

use libc::timeval;

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::EventPtr;
use crate::check;

#[unsafe(no_mangle)]
pub(super) extern "C-unwind" fn event_base_loop(base: BasePtr, flags: c_int) -> c_int {
    check::on_loop(base.address());
    let result = base.get().run(flags);
    check::on_loop_end(base.address());
    check::log_reports();
    if base.get().is_freed() {
        base.free();
    }
    result
}

#[unsafe(no_mangle)]
extern "C-unwind" fn event_base_dispatch(base: BasePtr) -> c_int {
    event_base_loop(base, 0)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_loopexit(base: BasePtr, delay: Option<&timeval>) -> c_int {
    if base.is_null() {
        return -1;
    }
    base.get().loop_exit(delay);
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_loopbreak(base: BasePtr) -> c_int {
    if base.is_null() {
        return -1;
    }
    base.get().loop_break();
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_base_loopcontinue(base: BasePtr) -> c_int {
    if base.is_null() {
        return -1;
    }
    base.get().loop_continue();
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_base_got_exit(base: BasePtr) -> c_int {
    base.get().got_exit().into()
}

#[unsafe(no_mangle)]
extern "C" fn event_base_got_break(base: BasePtr) -> c_int {
    base.get().got_break().into()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_get_running_event(base: BasePtr) -> EventPtr {
    base.get().running_event().unwrap_or(EventPtr::NULL)
}
