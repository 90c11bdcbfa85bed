//! Calls of the program's functions.

use std::ffi::{c_int, c_short, c_void};

use super::event_ptr::{CallbackPtr, EventPtr};
use super::layout::{CallbackFunction, Closure, EventFinalizer, EventFunction, Function};

/// One call of a callback, with all that it needs: the callback's memory may be gone when it
/// returns. It owns nothing, so that `longjmp` may leave it.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Event {
        function: Option<EventFunction>,
        fd: c_int,
        what: c_short,
        argument: *mut c_void,
    },
    Callback {
        function: Option<CallbackFunction>,
        callback: CallbackPtr,
        argument: *mut c_void,
    },
    Finalizer {
        function: Option<EventFinalizer>,
        event: EventPtr,
        argument: *mut c_void,
        frees: bool,
    },
}

impl Function {
    pub(crate) fn of_event(function: Option<EventFunction>) -> Self {
        Self { event: function }
    }

    pub(crate) fn of_callback(function: Option<CallbackFunction>) -> Self {
        Self { callback: function }
    }

    pub(crate) fn of_finalizer(function: Option<EventFinalizer>) -> Self {
        Self { event_finalizer: function }
    }

    pub(crate) fn as_event(self) -> Option<EventFunction> {
        // SAFETY: all members are one nullable address, and the closure says that it is this one.
        unsafe { self.event }
    }

    /// 0 if there is none.
    pub(super) fn address(self) -> usize {
        self.as_event().map_or(0, |function| function as usize)
    }

    fn as_callback(self) -> Option<CallbackFunction> {
        // SAFETY: as in `as_event`.
        unsafe { self.callback }
    }

    fn as_finalizer(self) -> Option<EventFinalizer> {
        // SAFETY: as in `as_event`.
        unsafe { self.event_finalizer }
    }
}

impl Call {
    /// The call of an event's callback.
    pub(crate) fn of_event(event: EventPtr, what: c_short) -> Self {
        let callback = event.callback();
        let function = callback.function().as_event();
        Self::Event { function, fd: event.fd(), what, argument: callback.argument() }
    }

    /// The call of a deferred callback or a finalizer; `None` for an event's callback.
    pub(crate) fn of_callback(callback: CallbackPtr) -> Option<Self> {
        let (function, argument) = (callback.function(), callback.argument());
        let finalizer = |frees| {
            let event = callback.event()?;
            Some(Self::Finalizer { function: function.as_finalizer(), event, argument, frees })
        };
        match callback.closure() {
            Closure::Event | Closure::Signal | Closure::Persist => None,
            Closure::Deferred | Closure::FinalizeCallback => {
                Some(Self::Callback { function: function.as_callback(), callback, argument })
            }
            Closure::FinalizeEvent => finalizer(false),
            Closure::FinalizeAndFreeEvent => finalizer(true),
        }
    }

    /// The address of the function; 0 if there is none.
    pub(crate) fn address(&self) -> u64 {
        let address = match *self {
            Self::Event { function, .. } => function.map(|function| function as usize),
            Self::Callback { function, .. } => function.map(|function| function as usize),
            Self::Finalizer { function, .. } => function.map(|function| function as usize),
        };
        address.unwrap_or(0) as u64
    }

    /// The descriptor or the signal that the callback gets; -1 if it gets none.
    pub(crate) fn fd(&self) -> c_int {
        match *self {
            Self::Event { fd, .. } => fd,
            Self::Callback { .. } | Self::Finalizer { .. } => -1,
        }
    }

    /// Calls the program. Nothing of the base is borrowed or locked meanwhile.
    pub(crate) fn make(self) {
        match self {
            Self::Event { function: Some(function), fd, what, argument } => {
                // SAFETY: the program passed a function of this type for this argument.
                unsafe { function(fd, what, argument) }
            }
            Self::Callback { function: Some(function), callback, argument } => {
                // SAFETY: as above.
                unsafe { function(callback, argument) }
            }
            Self::Finalizer { function, event, argument, frees } => {
                if let Some(function) = function {
                    // SAFETY: as above.
                    unsafe { function(event, argument) }
                }
                if frees {
                    event.free();
                }
            }
            Self::Event { function: None, .. } | Self::Callback { function: None, .. } => {}
        }
    }
}
