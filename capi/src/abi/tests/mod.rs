//! The exported functions, called from Rust as a program calls them. Miri runs these tests
//! (`scripts/miri.sh`): it checks each access to the program's structures.

mod events;
mod finalizers;
mod memory;
mod threads;
mod timers;

use std::cell::RefCell;
use std::ffi::{c_int, c_short, c_void};
use std::io::{PipeReader, PipeWriter, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use libc::timeval;

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::{CallbackPtr, EventPtr};
use super::access::layout::{Event, EventFlags, EventFunction, ListFlags};
use super::active::*;
use super::base::*;
use super::deferred::*;
use super::event::*;
use super::event_loop::*;
use super::finalize::*;
use super::once::*;
use super::threads::*;
use super::time::*;
use crate::time;

const TIMER: EventFlags = EventFlags::empty();
const READ: EventFlags = EventFlags::READ;
/// With edges, because Miri's epoll has no levels.
const READ_EDGE: EventFlags = READ.union(EventFlags::ET);
const PERSIST: EventFlags = EventFlags::PERSIST;
const EVLOOP_ONCE: c_int = 1;
const EVLOOP_NONBLOCK: c_int = 2;

/// What a callback got: its argument, a number, and the reasons.
type Log = RefCell<Vec<(usize, EventFlags)>>;

/// An event's memory as a program has it: it may hold anything before `event_assign`.
struct Memory(Box<MaybeUninit<Event>>);

impl Memory {
    /// Memory that is full of these bytes.
    fn filled(byte: u8) -> Self {
        let mut memory = Box::new(MaybeUninit::<Event>::uninit());
        // SAFETY: the pointer is to one such structure.
        unsafe { memory.as_mut_ptr().write_bytes(byte, 1) };
        Self(memory)
    }

    fn event(&mut self) -> EventPtr {
        EventPtr::of_memory(self.0.as_mut_ptr())
    }
}

/// What the argument of `record` points to.
struct Named<'a> {
    number: usize,
    log: &'a Log,
}

impl Named<'_> {
    fn argument(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// A callback that records why it was called.
unsafe extern "C-unwind" fn record(_: c_int, what: c_short, argument: *mut c_void) {
    // SAFETY: it is the argument of a test that waits for the loop.
    let named = unsafe { &*argument.cast::<Named<'_>>() };
    named.log.borrow_mut().push((named.number, EventFlags::from_bits_retain(what)));
}

const RECORD: Option<EventFunction> = Some(record);

/// A base, freed at the end of the test.
struct TestBase(BasePtr);

impl TestBase {
    fn new() -> Self {
        let base = event_base_new();
        assert!(!base.is_null());
        Self(base)
    }

    /// One turn that does not wait.
    fn turn(&self) -> c_int {
        event_base_loop(self.0, EVLOOP_ONCE | EVLOOP_NONBLOCK)
    }

    /// Turns until no event is left.
    fn run(&self) {
        assert_eq!(event_base_loop(self.0, 0), 1);
    }

    /// How many events are pending or active.
    fn count(&self) -> c_int {
        event_base_get_num_events(self.0, 1 | 4)
    }
}

impl Drop for TestBase {
    fn drop(&mut self) {
        event_base_free(self.0);
    }
}

fn after(duration: Duration) -> timeval {
    time::of_duration(duration)
}

/// The ends of a pipe, of which the first has a byte to be read.
fn readable() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"x").expect("a byte is written");
    (reader, writer)
}
