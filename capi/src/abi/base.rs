//! A base: making, renewing and freeing it, its priorities and counts.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::EventPtr;
use super::access::layout::EventFlags;
use super::threads;
use crate::abi::access::log;
use crate::base::Base;
use crate::base::config::EventConfig;
use crate::base::freeing::Ending;
use crate::base::queries::CountKinds;
use crate::check;

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_new() -> BasePtr {
    event_base_new_with_config(None)
}

#[unsafe(no_mangle)]
extern "C" fn event_base_new_with_config(config: Option<&EventConfig>) -> BasePtr {
    let default = EventConfig::default();
    match Base::new(config.unwrap_or(&default), threads::are_enabled()) {
        Ok(base) => {
            let is_shared = base.is_shared();
            let base = BasePtr::new(base);
            check::on_base(base.address(), is_shared);
            base
        }
        Err(error) => {
            log::warn(&format!("event_base_new_with_config: {error}"));
            BasePtr::NULL
        }
    }
}

/// Without a base it frees that of `event_init`. Freed in one of its callbacks, it lasts until its
/// loop returns.
#[unsafe(no_mangle)]
pub(super) extern "C-unwind" fn event_base_free(base: BasePtr) {
    free(base, true);
}

#[unsafe(no_mangle)]
extern "C-unwind" fn event_base_free_nofinalize(base: BasePtr) {
    free(base, false);
}

fn free(base: BasePtr, calls_finalizers: bool) {
    let base = base.or_current();
    if base.is_null() {
        log::warn("event_base_free_: no base to free");
        return;
    }
    loop {
        match base.get().end_event() {
            Ending::Event(Some(finalizer)) if calls_finalizers => finalizer.make(),
            Ending::Event(_) => {}
            Ending::Last { loop_runs } => {
                if !loop_runs {
                    base.free();
                }
                return;
            }
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn event_reinit(base: BasePtr) -> c_int {
    if base.get().reinit() { 0 } else { -1 }
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_get_method(base: BasePtr) -> *const c_char {
    base.get().method().as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn event_base_get_features(base: BasePtr) -> c_int {
    base.get().features()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_priority_init(base: BasePtr, priorities: c_int) -> c_int {
    if base.get().set_priorities(priorities) { 0 } else { -1 }
}

#[unsafe(no_mangle)]
extern "C" fn event_base_get_npriorities(base: BasePtr) -> c_int {
    base.or_current().get().priorities().into()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_get_num_events(base: BasePtr, kinds: c_uint) -> c_int {
    base.get().count(CountKinds::from_bits_truncate(kinds))
}

#[unsafe(no_mangle)]
extern "C" fn event_base_get_max_events(base: BasePtr, kinds: c_uint, clear: c_int) -> c_int {
    base.get().max_count(CountKinds::from_bits_truncate(kinds), clear != 0)
}

/// Keeps the loop alive without an event. For libevent's upper layers.
#[unsafe(no_mangle)]
extern "C" fn event_base_add_virtual_(base: BasePtr) {
    base.get().hold(true);
}

#[unsafe(no_mangle)]
extern "C" fn event_base_del_virtual_(base: BasePtr) {
    base.get().hold(false);
}

type VisitFunction = unsafe extern "C-unwind" fn(BasePtr, EventPtr, *mut c_void) -> c_int;

/// The visited events are those of one moment. The function may use the base.
#[unsafe(no_mangle)]
pub(super) extern "C-unwind" fn event_base_foreach_event(
    base: BasePtr,
    function: Option<VisitFunction>,
    argument: *mut c_void,
) -> c_int {
    let Some(function) = function.filter(|_| !base.is_null()) else { return -1 };
    for listed in base.get().list() {
        // SAFETY: the program passed a function of this type for this argument.
        let result = unsafe { function(base, listed.event, argument) };
        if result != 0 {
            return result;
        }
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_base_active_by_fd(base: BasePtr, fd: c_int, events: EventFlags) {
    base.get().activate_fd(fd, events);
}

#[unsafe(no_mangle)]
extern "C" fn event_base_active_by_signal(base: BasePtr, number: c_int) {
    base.get().activate_signal(number);
}

/// Checks nothing: the structures that libevent checks are safe Rust here.
#[unsafe(no_mangle)]
extern "C" fn event_base_assert_ok_(base: BasePtr) {
    base.get();
}

/// As `event_base_assert_ok_`.
#[unsafe(no_mangle)]
extern "C" fn event_base_assert_ok_nolock_(base: BasePtr) {
    base.get();
}

/// Completion ports are for Windows.
#[unsafe(no_mangle)]
extern "C" fn event_base_start_iocp_(_: BasePtr, _: c_int) -> c_int {
    -1
}

#[unsafe(no_mangle)]
extern "C" fn event_base_stop_iocp_(_: BasePtr) {}
