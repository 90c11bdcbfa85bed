//! The debug mode (`event_enable_debug_mode`): it finds events that are used before they are set
//! up, or set up again while they are pending.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::abi::access::event_ptr::EventPtr;
use crate::abi::access::layout::EventFlags;
use crate::abi::access::log::{self, ABORT};

/// The mode, and what it knows.
pub(crate) struct Mode {
    is_on: AtomicBool,
    /// Whether a base or an event was made already.
    was_used: AtomicBool,
    /// Whether each event that is set up is pending, by address.
    events: Mutex<Option<HashMap<usize, bool>>>,
}

pub(crate) static MODE: Mode = Mode {
    is_on: AtomicBool::new(false),
    was_used: AtomicBool::new(false),
    events: Mutex::new(None),
};

impl Mode {
    pub(crate) fn enable(&self) {
        if self.is_on() {
            log::fatal(1, "event_enable_debug_mode was called twice!");
        }
        if self.was_used() {
            log::fatal(
                1,
                "event_enable_debug_mode must be called *before* creating any events or \
                 event_bases",
            );
        }
        *self.events.lock() = Some(HashMap::new());
        self.is_on.store(true, Ordering::Release);
    }

    pub(crate) fn disable(&self) {
        self.is_on.store(false, Ordering::Release);
        *self.events.lock() = None;
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Whether a base or an event was made already.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used.load(Ordering::Relaxed)
    }

    /// Notes that a base or an event was made: from now on the mode cannot be enabled.
    pub(crate) fn note_use(&self) {
        self.was_used.store(true, Ordering::Relaxed);
    }

    /// Notes that the program set an event up.
    #[inline]
    pub(crate) fn note_setup(&self, event: EventPtr) {
        self.note_use();
        if self.is_on() {
            self.note_new(event);
        }
    }

    #[cold]
    fn note_new(&self, event: EventPtr) {
        if let Some(events) = &mut *self.events.lock() {
            events.insert(event.address(), false);
        }
    }

    /// Notes the end of an event.
    pub(crate) fn note_teardown(&self, event: EventPtr) {
        if self.is_on()
            && let Some(events) = &mut *self.events.lock()
        {
            events.remove(&event.address());
        }
    }

    /// Notes that an event was added or deleted.
    #[inline]
    pub(crate) fn note_pending(&self, event: EventPtr, is_pending: bool, function: &str) {
        if self.is_on() {
            self.note_known(event, is_pending, function);
        }
    }

    #[cold]
    fn note_known(&self, event: EventPtr, is_pending: bool, function: &str) {
        if let Some(events) = &mut *self.events.lock() {
            match events.get_mut(&event.address()) {
                Some(pending) => *pending = is_pending,
                None => fail("on a non-initialized event", event, function),
            }
        }
    }

    /// Ends the program if the event was not set up.
    #[inline]
    pub(crate) fn expect_setup(&self, event: EventPtr, function: &str) {
        if self.is_on() && !self.knows(event) {
            fail("on a non-initialized event", event, function);
        }
    }

    /// Ends the program if an event that it sets up is pending, or if the descriptor blocks: the
    /// loop would block with it.
    #[inline]
    pub(crate) fn expect_assignable(&self, event: EventPtr, fd: i32, events: EventFlags) {
        if self.is_on() {
            expect_nonblocking(fd, events);
            self.expect_idle(event, "event_assign");
        }
    }

    /// Ends the program if the event is pending.
    #[cold]
    pub(crate) fn expect_idle(&self, event: EventPtr, function: &str) {
        let events = self.events.lock();
        if events.as_ref().and_then(|events| events.get(&event.address())) == Some(&true) {
            fail("on an already added event", event, function);
        }
    }

    fn knows(&self, event: EventPtr) -> bool {
        self.events.lock().as_ref().is_none_or(|events| events.contains_key(&event.address()))
    }
}

#[cold]
fn expect_nonblocking(fd: i32, events: EventFlags) {
    let counts = fd >= 0 && !events.contains(EventFlags::SIGNAL);
    if counts && crate::abi::access::is_blocking(fd) {
        log::fatal(
            ABORT,
            &format!("event_assign: fd {fd} blocks; set O_NONBLOCK before the event is made"),
        );
    }
}

#[cold]
fn fail(what: &str, event: EventPtr, function: &str) -> ! {
    let (address, events, fd) = (event.address(), event.events(), event.fd());
    log::fatal(
        ABORT,
        &format!(
            "{function} called {what} {address:#x} (events: {:#x}, fd: {fd}, flags: {:#x})",
            events.bits(),
            event.callback().flags().bits()
        ),
    );
}
