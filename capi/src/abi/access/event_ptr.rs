//! The program's events and callbacks: pointers that read and write their fields.

use std::ffi::{c_int, c_short, c_void};
use std::ptr;

use evshard::{EventId, Token};
use libc::timeval;

use super::base_ptr::BasePtr;
use super::layout::{Closure, Event, EventCallback, EventFlags, Function, ListFlags, Marks};
use super::probe::Memory;
use super::{memory, thread_id};

/// A `struct event *` of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct EventPtr(*mut Event);

/// A `struct event_callback *` of the program: an event's first part, or a deferred callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct CallbackPtr(*mut EventCallback);

/// Methods that read and write one field each.
macro_rules! fields {
    ($($get:ident, $set:ident: $field:ident, $type:ty;)+) => {$(
        pub(crate) fn $get(self) -> $type {
            // SAFETY: the program passed a pointer to such a structure, or it is pending and lasts.
            unsafe { (*self.0).$field }
        }

        #[allow(dead_code, reason = "some fields are only read")]
        pub(crate) fn $set(self, value: $type) {
            // SAFETY: as for reading.
            unsafe { (*self.0).$field = value }
        }
    )+};
}

impl CallbackPtr {
    fields! {
        slot, set_slot: slot, Option<EventId>;
        marks, set_marks: marks, Marks;
        flags, set_flags: flags, ListFlags;
        priority, set_priority: priority, u8;
        closure_byte, set_closure_byte: closure, u8;
        function, set_function: function, Function;
        argument, set_argument: argument, *mut c_void;
    }

    /// Makes a deferred callback of memory that may hold anything.
    pub(crate) fn init(self, closure: Closure, function: Function, argument: *mut c_void) {
        let callback = EventCallback {
            slot: None,
            marks: Marks::empty(),
            flags: ListFlags::empty(),
            priority: 0,
            closure: closure as u8,
            function,
            argument,
        };
        // SAFETY: the program passed memory for such a structure.
        unsafe { self.0.write(callback) }
    }

    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }

    /// The address of the program's function; 0 if there is none.
    pub(crate) fn function_address(self) -> usize {
        self.function().address()
    }

    /// What the checked mode compares.
    pub(crate) fn memory(self) -> Memory {
        // SAFETY: as for reading a field.
        Memory::of(unsafe { &*self.0 })
    }

    pub(crate) fn closure(self) -> Closure {
        Closure::of(self.closure_byte())
    }

    pub(crate) fn set_closure(self, closure: Closure) {
        self.set_closure_byte(closure as u8);
    }

    pub(crate) fn insert_flags(self, flags: ListFlags) {
        self.set_flags(self.flags() | flags);
    }

    pub(crate) fn remove_flags(self, flags: ListFlags) {
        self.set_flags(self.flags() - flags);
    }

    pub(crate) fn is_finalizing(self) -> bool {
        self.flags().contains(ListFlags::FINALIZING)
    }

    /// The event that it is the first part of; `None` for a deferred callback.
    pub(crate) fn event(self) -> Option<EventPtr> {
        self.flags().contains(ListFlags::INIT).then(|| EventPtr(self.0.cast()))
    }

    /// The token of its slot.
    pub(crate) fn token(self) -> Token {
        Token(self.0.expose_provenance() as u64)
    }

    /// The callback of a slot, or `None` for an event of the base itself.
    pub(crate) fn of_token(token: Token) -> Option<Self> {
        (token != Token(0)).then(|| Self(ptr::with_exposed_provenance_mut(token.0 as usize)))
    }
}

impl EventPtr {
    pub(crate) const NULL: Self = Self(ptr::null_mut());

    fields! {
        fd, set_fd: fd, c_int;
        base, set_base: base, BasePtr;
        events, set_events: events, EventFlags;
        result, set_result: result, c_short;
        last_slot, set_last_slot: last_slot, Option<EventId>;
    }

    pub(crate) fn callback(self) -> CallbackPtr {
        CallbackPtr(self.0.cast())
    }

    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }

    pub(crate) fn as_argument(self) -> *mut c_void {
        self.0.cast()
    }

    /// An event in this memory.
    #[cfg(test)]
    pub(crate) fn of_memory(memory: *mut Event) -> Self {
        Self(memory)
    }

    /// The event that was passed as an argument (`as_argument`, `event_self_cbarg`).
    ///
    /// # Safety
    ///
    /// The argument must be one.
    #[cfg(test)]
    pub(crate) unsafe fn of_argument(argument: *mut c_void) -> Self {
        Self(argument.cast())
    }

    /// Whether the event is neither pending nor active and no other thread can run its callback.
    /// Then its base is not needed to delete it: programs do that after they freed the base, too.
    #[inline]
    pub(crate) fn is_certainly_idle(self) -> bool {
        // With threads, only the base's lock permits to read the slot.
        thread_id::current().is_none()
            && self.callback().slot().is_none()
            && !self.events().contains(EventFlags::SIGNAL)
    }

    /// Memory for an event, by the program's function if it set one; `None` if there is none.
    pub(crate) fn allocate() -> Option<Self> {
        let memory = memory::event_mm_malloc_(size_of::<Event>());
        (!memory.is_null()).then(|| Self(memory.cast()))
    }

    /// Frees memory of `allocate`.
    pub(crate) fn free(self) {
        memory::event_mm_free_(self.0.cast());
    }

    /// Makes an idle event of memory that may hold anything (`event_assign`).
    pub(crate) fn init(
        self,
        base: BasePtr,
        fd: c_int,
        events: EventFlags,
        function: Function,
        argument: *mut c_void,
    ) {
        self.callback().init(closure_of(events), function, argument);
        self.callback().set_flags(ListFlags::INIT);
        self.set_last_slot(None);
        self.set_base(base);
        self.set_fd(fd);
        self.set_events(events);
        self.set_result(0);
        let timeout = timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: the program passed memory for such a structure.
        unsafe { (*self.0).ev_timeout = timeout }
    }
}

/// How an event is called that waits for this.
fn closure_of(events: EventFlags) -> Closure {
    if events.contains(EventFlags::SIGNAL) {
        Closure::Signal
    } else if events.contains(EventFlags::PERSIST) {
        Closure::Persist
    } else {
        Closure::Event
    }
}
