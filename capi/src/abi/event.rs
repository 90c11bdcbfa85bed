//! An event: `event_assign`, `event_add`, `event_del` and what a program may ask of it.

use std::ffi::{c_int, c_short, c_void};
use std::ptr;

use libc::timeval;

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::EventPtr;
use super::access::layout::{Event, EventFlags, EventFunction, Function, ListFlags};
use crate::abi::access::log;
use crate::base::Blocking;
use crate::check;
use crate::debug::MODE;

/// The argument that stands for the event itself (`event_self_cbarg`).
static SELF: u8 = 0;

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_self_cbarg() -> *mut c_void {
    (&raw const SELF).cast_mut().cast()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_assign(
    event: EventPtr,
    base: BasePtr,
    fd: c_int,
    events: EventFlags,
    function: Option<EventFunction>,
    argument: *mut c_void,
) -> c_int {
    MODE.expect_assignable(event, fd, events);
    check::before_assign(event);
    let base = base.or_current();
    let argument = if argument == event_self_cbarg() { event.as_argument() } else { argument };
    event.init(base, fd, events, Function::of_event(function), argument);
    if events.contains(EventFlags::SIGNAL) && events.intersects(EventFlags::IO) {
        log::warn("event_assign: EV_SIGNAL is not compatible with EV_READ, EV_WRITE or EV_CLOSED");
        return -1;
    }
    if !base.is_null() {
        event.callback().set_priority(base.get().priorities() / 2);
    }
    MODE.note_setup(event);
    check::after_assign(event);
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_new(
    base: BasePtr,
    fd: c_int,
    events: EventFlags,
    function: Option<EventFunction>,
    argument: *mut c_void,
) -> EventPtr {
    let Some(event) = EventPtr::allocate() else { return EventPtr::NULL };
    if event_assign(event, base, fd, events, function, argument) < 0 {
        event.free();
        return EventPtr::NULL;
    }
    event
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_free(event: EventPtr) {
    event_del(event);
    MODE.note_teardown(event);
    check::on_end(event);
    event.free();
}

/// Moves an event that was never pending to another base.
#[unsafe(no_mangle)]
extern "C" fn event_base_set(base: BasePtr, event: EventPtr) -> c_int {
    if event.callback().flags() != ListFlags::INIT {
        return -1;
    }
    MODE.expect_setup(event, "event_base_set");
    event.set_base(base);
    event.set_last_slot(None);
    event.callback().set_priority(base.get().priorities() / 2);
    check::after_assign(event);
    0
}

/// Whether the event has a base; a warning if not.
#[inline]
fn has_base(event: EventPtr, function: &str) -> bool {
    let has = !event.base().is_null();
    if !has {
        warn_of_no_base(function);
    }
    has
}

#[cold]
fn warn_of_no_base(function: &str) {
    log::warn(&format!("{function}: event has no event_base set."));
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_add(event: EventPtr, timeout: Option<&timeval>) -> c_int {
    if check::is_on() { add_checked(event, timeout) } else { add(event, timeout) }
}

#[inline(always)]
fn add(event: EventPtr, timeout: Option<&timeval>) -> c_int {
    if has_base(event, "event_add") && event.base().get().add(event, timeout) { 0 } else { -1 }
}

#[cold]
fn add_checked(event: EventPtr, timeout: Option<&timeval>) -> c_int {
    if !check::may_use(event, "event_add") {
        return -1;
    }
    let result = add(event, timeout);
    check::log_reports();
    result
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_del(event: EventPtr) -> c_int {
    del(event, Blocking::Auto)
}

#[unsafe(no_mangle)]
extern "C" fn event_del_block(event: EventPtr) -> c_int {
    del(event, Blocking::Always)
}

#[unsafe(no_mangle)]
extern "C" fn event_del_noblock(event: EventPtr) -> c_int {
    del(event, Blocking::Never)
}

#[inline]
fn del(event: EventPtr, blocking: Blocking) -> c_int {
    if !check::may_delete(event) || !has_base(event, "event_del_") {
        return -1;
    }
    if MODE.is_on() || !event.is_certainly_idle() {
        event.base().get().del(event, blocking);
    }
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_remove_timer(event: EventPtr) -> c_int {
    if !check::may_use(event, "event_remove_timer") || !has_base(event, "event_remove_timer") {
        return -1;
    }
    event.base().get().remove_timer(event);
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_priority_set(event: EventPtr, priority: c_int) -> c_int {
    if !check::may_use(event, "event_priority_set") {
        return -1;
    }
    if event.base().get().set_priority(event, priority) { 0 } else { -1 }
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_pending(
    event: EventPtr,
    events: c_short,
    due: Option<&mut timeval>,
) -> c_int {
    if !check::may_use(event, "event_pending") || !has_base(event, "event_pending") {
        return 0;
    }
    let (pending, is_due) = event.base().get().pending(event, events);
    if let (Some(out), Some(time)) = (due, is_due) {
        *out = time;
    }
    pending.bits().into()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_initialized(event: EventPtr) -> c_int {
    event.callback().flags().contains(ListFlags::INIT).into()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_fd(event: EventPtr) -> c_int {
    MODE.expect_setup(event, "event_get_fd");
    event.fd()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_base(event: EventPtr) -> BasePtr {
    MODE.expect_setup(event, "event_get_base");
    event.base()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_events(event: EventPtr) -> EventFlags {
    MODE.expect_setup(event, "event_get_events");
    event.events()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_callback(event: EventPtr) -> Option<EventFunction> {
    MODE.expect_setup(event, "event_get_callback");
    event.callback().function().as_event()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_callback_arg(event: EventPtr) -> *mut c_void {
    MODE.expect_setup(event, "event_get_callback_arg");
    event.callback().argument()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_priority(event: EventPtr) -> c_int {
    MODE.expect_setup(event, "event_get_priority");
    event.callback().priority().into()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_get_assignment(
    event: EventPtr,
    base: Option<&mut BasePtr>,
    fd: Option<&mut c_int>,
    events: Option<&mut EventFlags>,
    function: Option<&mut Option<EventFunction>>,
    argument: *mut *mut c_void,
) {
    MODE.expect_setup(event, "event_get_assignment");
    if let Some(base) = base {
        *base = event.base();
    }
    if let Some(fd) = fd {
        *fd = event.fd();
    }
    if let Some(events) = events {
        *events = event.events();
    }
    if let Some(function) = function {
        *function = event.callback().function().as_event();
    }
    if !argument.is_null() {
        // SAFETY: the program passes null or a pointer to a variable for the argument.
        unsafe { ptr::write(argument, event.callback().argument()) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn event_get_struct_event_size() -> usize {
    size_of::<Event>()
}
