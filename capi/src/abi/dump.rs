//! All events as text: `event_base_dump_events`.

use std::ffi::c_int;
use std::fmt::Write;

use super::access::base_ptr::BasePtr;
use super::access::layout::{EventFlags, ListFlags};
use crate::base::queries::Listed;

#[unsafe(no_mangle)]
unsafe extern "C" fn event_base_dump_events(base: BasePtr, output: *mut libc::FILE) {
    let listed = base.get().list();
    let mut text = String::from("Inserted events:\n");
    for event in &listed {
        if event.is_inserted || event.due.is_some() {
            inserted_line(&mut text, event);
        }
    }
    text.push_str("Active events:\n");
    for event in &listed {
        if !event.active.is_empty() {
            active_line(&mut text, event);
        }
    }
    // SAFETY: the program passes an open file, and the text has this many bytes.
    unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), output) };
}

/// `  0x55d0c0ffee00 [fd  5] Read Persist Timeout=1732950000.123456`
fn inserted_line(text: &mut String, listed: &Listed) {
    let (event, events) = (listed.event, listed.event.events());
    begin_line(text, listed);
    // Writing to a string does not fail.
    let _ = write!(text, "{}]", event.fd());
    for (flag, name) in [
        (EventFlags::READ, " Read"),
        (EventFlags::WRITE, " Write"),
        (EventFlags::CLOSED, " EOF"),
        (EventFlags::SIGNAL, " Signal"),
        (EventFlags::PERSIST, " Persist"),
        (EventFlags::ET, " ET"),
    ] {
        if events.contains(flag) {
            text.push_str(name);
        }
    }
    if let Some(due) = listed.due {
        let _ = write!(text, " Timeout={}.{:06}", due.tv_sec, due.tv_usec);
    }
    text.push('\n');
}

/// `  0x55d0c0ffee00 [fd  5, priority=0] Read active`
fn active_line(text: &mut String, listed: &Listed) {
    begin_line(text, listed);
    let fd: c_int = listed.event.fd();
    let _ = write!(text, "{fd}, priority={}]", listed.priority);
    for (flag, name) in [
        (EventFlags::READ, " Read"),
        (EventFlags::WRITE, " Write"),
        (EventFlags::CLOSED, " EOF"),
        (EventFlags::SIGNAL, " Signal"),
        (EventFlags::TIMEOUT, " Timeout"),
    ] {
        if listed.active.contains(flag) {
            text.push_str(name);
        }
    }
    text.push_str(" active");
    if listed.event.callback().flags().contains(ListFlags::ACTIVE_LATER) {
        text.push_str(" [NextTime]");
    }
    text.push('\n');
}

fn begin_line(text: &mut String, listed: &Listed) {
    let kind = if listed.event.events().contains(EventFlags::SIGNAL) { "sig" } else { "fd " };
    let _ = write!(text, "  {:#x} [{kind} ", listed.event.address());
}
