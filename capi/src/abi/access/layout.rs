//! The layout of libevent's structures, as programs were compiled with it
//! (`event2/event_struct.h` of 2.1 on 64-bit Linux).

use std::ffi::{c_int, c_short, c_uint, c_void};

use evshard::EventId;
use libc::timeval;

use super::base_ptr::BasePtr;
use super::event_ptr::{CallbackPtr, EventPtr};

/// A callback of an event. It may unwind: a C++ exception or `longjmp` may pass through the loop.
pub(crate) type EventFunction = unsafe extern "C-unwind" fn(c_int, c_short, *mut c_void);
/// A deferred callback, and the finalizer of one.
pub(crate) type CallbackFunction = unsafe extern "C-unwind" fn(CallbackPtr, *mut c_void);
/// The finalizer of an event.
pub(crate) type EventFinalizer = unsafe extern "C-unwind" fn(EventPtr, *mut c_void);

/// `evcb_cb_union`: which function it is, the closure says.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Function {
    pub(crate) event: Option<EventFunction>,
    pub(crate) callback: Option<CallbackFunction>,
    pub(crate) event_finalizer: Option<EventFinalizer>,
}

/// `struct event_callback`. Programs use none of its fields.
#[repr(C)]
pub(crate) struct EventCallback {
    /// Ours, in the room of `evcb_active_next`: the base's slot for it. There is one only while it
    /// is pending or active. Every bit pattern is a valid value.
    pub(super) slot: Option<EventId>,
    /// Ours, in the same room.
    pub(super) marks: Marks,
    pub(super) flags: ListFlags,
    pub(super) priority: u8,
    pub(super) closure: u8,
    pub(super) function: Function,
    pub(super) argument: *mut c_void,
}

/// `struct event`.
#[repr(C)]
pub(crate) struct Event {
    pub(super) callback: EventCallback,
    /// Ours, in the room of `ev_timeout_pos`: the slot that the event had last, if the base may
    /// still have it.
    pub(super) last_slot: Option<EventId>,
    _ev_timeout_pos: usize,
    pub(super) fd: c_int,
    pub(super) base: BasePtr,
    ev_io_or_signal: [u64; 4],
    pub(super) events: EventFlags,
    pub(super) result: c_short,
    pub(super) ev_timeout: timeval,
}

type Alloc = unsafe extern "C" fn(c_uint) -> *mut c_void;

/// `struct evthread_lock_callbacks`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct LockCallbacks {
    pub(crate) version: c_int,
    pub(crate) types: c_uint,
    pub(crate) alloc: Option<Alloc>,
    pub(crate) free: Option<unsafe extern "C" fn(*mut c_void, c_uint)>,
    pub(crate) lock: Option<unsafe extern "C" fn(c_uint, *mut c_void) -> c_int>,
    pub(crate) unlock: Option<unsafe extern "C" fn(c_uint, *mut c_void) -> c_int>,
}

/// `struct evthread_condition_callbacks`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ConditionCallbacks {
    pub(crate) version: c_int,
    pub(crate) alloc: Option<Alloc>,
    pub(crate) free: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(crate) signal: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub(crate) wait:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *const timeval) -> c_int>,
}

bitflags::bitflags! {
    /// The bits of `ev_events` and of a callback's `what` (`EV_READ` and so on).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(transparent)]
    pub(crate) struct EventFlags: c_short {
        const TIMEOUT = 0x01;
        const READ = 0x02;
        const WRITE = 0x04;
        const SIGNAL = 0x08;
        const PERSIST = 0x10;
        const ET = 0x20;
        const FINALIZE = 0x40;
        const CLOSED = 0x80;

        const IO = Self::READ.bits() | Self::WRITE.bits() | Self::CLOSED.bits();
        const REASONS = Self::TIMEOUT.bits() | Self::IO.bits() | Self::SIGNAL.bits();
        /// A program's bits stay as they are.
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// The bits of `evcb_flags` (`EVLIST_*`). `INIT` distinguishes an event from a deferred
    /// callback. `FINALIZING` protects it from further use. The others show programs its state.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(transparent)]
    pub(crate) struct ListFlags: c_short {
        const TIMEOUT = 0x01;
        const INSERTED = 0x02;
        const ACTIVE = 0x08;
        const INTERNAL = 0x10;
        const ACTIVE_LATER = 0x20;
        const FINALIZING = 0x40;
        const INIT = 0x80;

        const PENDING = Self::TIMEOUT.bits() | Self::INSERTED.bits();
        const STATE = Self::PENDING.bits() | Self::ACTIVE.bits() | Self::ACTIVE_LATER.bits();
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// What we note of a callback beside its slot.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(transparent)]
    pub(crate) struct Marks: u64 {
        /// `event_base_once` made it: its memory is freed when it fires.
        const ONCE = 1;
        /// `ev_res` has the reasons of an `event_active` that was not called yet.
        const ACTIVATED = 2;
        const _ = !0;
    }
}

/// `evcb_closure`: what a callback is, and how it is called (`EV_CLOSURE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Closure {
    Event = 0,
    Signal = 1,
    Persist = 2,
    Deferred = 3,
    FinalizeCallback = 4,
    FinalizeEvent = 5,
    FinalizeAndFreeEvent = 6,
}

impl Closure {
    pub(super) fn of(byte: u8) -> Self {
        match byte {
            1 => Self::Signal,
            2 => Self::Persist,
            3 => Self::Deferred,
            4 => Self::FinalizeCallback,
            5 => Self::FinalizeEvent,
            6 => Self::FinalizeAndFreeEvent,
            _ => Self::Event,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{align_of, offset_of};
    use std::process::Command;

    use test_needs::{Need, missing};

    use super::*;

    /// The layout here, in the form in which `tests/c/layout.c` prints that of the headers.
    fn layout() -> String {
        let callback = [
            ("event_callback", size_of::<EventCallback>()),
            ("event_callback.flags", offset_of!(EventCallback, flags)),
            ("event_callback.priority", offset_of!(EventCallback, priority)),
            ("event_callback.closure", offset_of!(EventCallback, closure)),
            ("event_callback.function", offset_of!(EventCallback, function)),
            ("event_callback.argument", offset_of!(EventCallback, argument)),
        ];
        let event = [
            ("event", size_of::<Event>()),
            ("event.callback", offset_of!(Event, callback)),
            ("event.fd", offset_of!(Event, fd)),
            ("event.base", offset_of!(Event, base)),
            ("event.events", offset_of!(Event, events)),
            ("event.result", offset_of!(Event, result)),
            ("event.timeout", offset_of!(Event, ev_timeout)),
        ];
        let threads = [
            ("evthread_lock_callbacks", size_of::<LockCallbacks>()),
            ("evthread_condition_callbacks", size_of::<ConditionCallbacks>()),
        ];
        let all = callback.iter().chain(&event).chain(&threads);
        all.map(|(name, value)| format!("{name} {value}\n")).collect()
    }

    #[test]
    fn the_layout_is_that_of_the_headers() {
        if missing(Need::Libevent) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("layout");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/layout.c");
        let compiled = Command::new("cc").arg("-o").arg(&program).arg(source).status();
        assert!(compiled.expect("cc runs").success());
        let printed = Command::new(&program).output().expect("the program runs").stdout;
        assert_eq!(layout(), String::from_utf8(printed).expect("text"));
        assert_eq!(align_of::<Event>(), 8);
    }

    #[test]
    fn any_memory_of_the_program_is_a_valid_slot() {
        assert_eq!(size_of::<Option<EventId>>(), 8);
        assert_eq!(offset_of!(EventCallback, slot) + 8, offset_of!(EventCallback, marks));
    }
}
