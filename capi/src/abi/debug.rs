//! The debug mode: `event_enable_debug_mode`, `event_debug_unassign`.

use super::access::event_ptr::EventPtr;
use super::access::layout::ListFlags;
use crate::check;
use crate::debug::MODE;

#[unsafe(no_mangle)]
extern "C" fn event_enable_debug_mode() {
    MODE.enable();
}

#[unsafe(no_mangle)]
extern "C" fn event_disable_debug_mode() {
    MODE.disable();
}

/// Ends an event whose memory the program is about to use otherwise.
#[unsafe(no_mangle)]
extern "C" fn event_debug_unassign(event: EventPtr) {
    MODE.expect_idle(event, "event_debug_unassign");
    MODE.note_teardown(event);
    check::on_end(event);
    event.callback().remove_flags(ListFlags::INIT);
}
