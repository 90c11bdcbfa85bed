//! Events that exist until they fire: `event_base_once`.

use std::ffi::{c_int, c_void};

use libc::timeval;

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::EventPtr;
use super::access::layout::{EventFlags, EventFunction, Marks};
use super::event::event_assign;
use crate::check;
use crate::debug::MODE;
use crate::time;

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_once(
    base: BasePtr,
    fd: c_int,
    events: EventFlags,
    function: Option<EventFunction>,
    argument: *mut c_void,
    timeout: Option<&timeval>,
) -> c_int {
    if base.is_null() || events.intersects(EventFlags::SIGNAL | EventFlags::PERSIST) {
        return -1;
    }
    let interest = events & EventFlags::IO;
    if interest.is_empty() && !events.contains(EventFlags::TIMEOUT) {
        return -1;
    }
    let Some(event) = EventPtr::allocate() else { return -1 };
    let fd = if interest.is_empty() { -1 } else { fd };
    event_assign(event, base, fd, interest, function, argument);
    event.callback().set_marks(Marks::ONCE);
    let is_due = interest.is_empty() && timeout.is_none_or(time::is_zero);
    if is_due {
        // Active at once, so that it keeps its order among others.
        base.get().activate(event, EventFlags::TIMEOUT.bits().into(), 1);
    } else if !base.get().add(event, timeout) {
        MODE.note_teardown(event);
        check::on_end(event);
        event.free();
        return -1;
    }
    0
}
