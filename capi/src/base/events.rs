//! Events: adding, deleting and activating them, from any thread.

use std::ffi::{c_int, c_short};

use evshard::{EventId, EventSpec, Fired, Interest, Ready, Registry};
use libc::timeval;
use parking_lot::lock_api::MutexGuard;

use super::{Base, Guard, State};
use crate::abi::access;
use crate::abi::access::event_ptr::{CallbackPtr, EventPtr};
use crate::abi::access::layout::{Closure, EventFlags, ListFlags, Marks};
use crate::abi::access::log;
use crate::{check, debug, time};

/// Whether the deletion of an event waits for the end of its callback in another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocking {
    Never,
    Always,
    /// Unless the event has `EV_FINALIZE`.
    Auto,
}

/// The handler of all slots: the loop knows the program's functions by the tokens.
fn unused(_: &mut Registry<()>, _: &mut (), _: Fired) {}

impl Base {
    /// Makes an event pending (`event_add`); whether it could.
    #[inline(always)]
    pub(crate) fn add(&self, event: EventPtr, timeout: Option<&timeval>) -> bool {
        debug::MODE.note_pending(event, true, "event_add");
        let callback = event.callback();
        let mut state = self.lock();
        if callback.is_finalizing() {
            return false;
        }
        let waits = event.events().intersects(EventFlags::IO | EventFlags::SIGNAL);
        if !waits && timeout.is_none() {
            // A timer without a timeout stays as it is.
            return true;
        }
        let had_slot = callback.slot().is_some();
        let id = state.slot_of(callback);
        let common = timeout.and_then(time::common_number).and_then(|n| state.common.get(n));
        let added = match common.map(|(_, common)| *common) {
            None => state.base.acting().add(id, timeout.map(time::duration)),
            Some(common) => state.base.acting().add_common(id, common),
        };
        if let Err(error) = added {
            if let Some(record) = &self.record {
                record.note_refused();
            }
            refuse(state, callback, had_slot, &error);
            return false;
        }
        let mut flags = callback.flags();
        if waits {
            flags |= ListFlags::INSERTED;
        }
        if timeout.is_some() {
            flags |= ListFlags::TIMEOUT;
        }
        callback.set_flags(flags);
        true
    }

    /// Makes an event idle (`event_del`).
    pub(crate) fn del(&self, event: EventPtr, blocking: Blocking) {
        debug::MODE.note_pending(event, false, "event_del");
        self.cancel(event.callback(), blocking);
    }

    /// Makes an event or a deferred callback idle (`event_callback_cancel_`).
    #[inline(always)]
    pub(crate) fn cancel(&self, callback: CallbackPtr, blocking: Blocking) {
        let mut state = self.lock();
        if callback.is_finalizing() {
            return;
        }
        state.give_back(callback);
        if state.current == Some(callback) {
            self.end_calls(state, callback, blocking);
        }
    }

    /// Ends the repeated calls of the callback that runs. Waits for its end if it must.
    #[cold]
    fn end_calls(&self, mut state: Guard<'_>, callback: CallbackPtr, blocking: Blocking) {
        state.repetitions = 0;
        let waits = match blocking {
            Blocking::Never => false,
            Blocking::Always => true,
            Blocking::Auto => {
                callback.event().is_none_or(|event| !event.events().contains(EventFlags::FINALIZE))
            }
        };
        if !waits || state.is_in_loop_thread() {
            return;
        }
        let call = state.calls;
        while state.current == Some(callback) && state.calls == call {
            state.waiters += 1;
            let watch = self.finished.watch();
            MutexGuard::unlocked(&mut state, || watch.wait());
        }
    }

    /// Drops an event's timeout (`event_remove_timer`).
    pub(crate) fn remove_timer(&self, event: EventPtr) {
        debug::MODE.expect_setup(event, "event_remove_timer");
        let mut state = self.lock();
        let callback = event.callback();
        let Some(id) = callback.slot() else { return };
        state.registry().remove_timeout(id);
        if state.registry().pending(id).is_empty() {
            state.give_back(callback);
        } else {
            callback.remove_flags(ListFlags::TIMEOUT);
        }
    }

    /// Makes an event active with these reasons (`event_active`), its callback to be called so
    /// many times if it waits for a signal.
    pub(crate) fn activate(&self, event: EventPtr, result: c_int, calls: c_short) {
        debug::MODE.expect_setup(event, "event_active");
        let mut state = self.lock();
        let callback = event.callback();
        if callback.is_finalizing() {
            return;
        }
        let id = state.slot_of(callback);
        note_reasons(event, result);
        let calls = u32::try_from(calls).unwrap_or(0);
        let ready = reasons(result);
        // The slot is there: it cannot be stale.
        let _ = state.base.acting().activate_times(id, ready, calls);
        callback.remove_flags(ListFlags::ACTIVE_LATER);
        callback.insert_flags(ListFlags::ACTIVE);
    }

    /// Makes an event active in the next turn (`event_active_later_`).
    pub(crate) fn activate_later(&self, event: EventPtr, result: c_int) {
        let mut state = self.lock();
        let callback = event.callback();
        let id = state.slot_of(callback);
        note_reasons(event, result);
        // The slot is there: it cannot be stale.
        let _ = state.base.acting().activate_later(id, reasons(result));
        if !callback.flags().contains(ListFlags::ACTIVE) {
            callback.insert_flags(ListFlags::ACTIVE_LATER);
        }
    }

    /// Sets the priority of an event that is not active (`event_priority_set`); whether it could.
    pub(crate) fn set_priority(&self, event: EventPtr, priority: c_int) -> bool {
        debug::MODE.expect_setup(event, "event_priority_set");
        let mut state = self.lock();
        let exists = |priority: &u8| *priority < state.base.registry().priorities();
        let Some(priority) = u8::try_from(priority).ok().filter(exists) else { return false };
        let callback = event.callback();
        let is_set = match callback.slot() {
            Some(id) => state.registry().set_priority(id, priority).is_ok(),
            None => true,
        };
        if is_set {
            callback.set_priority(priority);
            event.set_last_slot(None);
        }
        is_set
    }
}

/// Ends an event that could not be added, unless it was pending before. Logs why, and leaves the
/// kernel's error in `errno`.
#[cold]
fn refuse(mut state: Guard<'_>, callback: CallbackPtr, had_slot: bool, error: &evshard::Error) {
    if !had_slot {
        state.give_back(callback);
    }
    drop(state);
    log::warn(&format!("event_add: {error}"));
    if let evshard::Error::Fd { source, .. } | evshard::Error::Signal { source, .. } = error {
        access::set_errno(source.raw_os_error().unwrap_or(libc::EINVAL));
    }
}

/// Notes the reasons of an activation, as the callback gets them.
fn note_reasons(event: EventPtr, result: c_int) {
    let callback = event.callback();
    let marks = callback.marks();
    let result = result as c_short;
    if marks.contains(Marks::ACTIVATED) {
        event.set_result(event.result() | result);
    } else {
        event.set_result(result);
        callback.set_marks(marks | Marks::ACTIVATED);
    }
}

/// The reasons that evshard knows, or another, so that the event becomes active.
fn reasons(result: c_int) -> Ready {
    let known = EventFlags::from_bits_retain(result as c_short) & EventFlags::REASONS;
    let ready = Ready::from_bits_truncate(known.bits() as u8);
    if ready.is_empty() { Ready::DEFERRED } else { ready }
}

impl State {
    /// The slot of a callback; it gets one if it has none.
    #[inline(always)]
    pub(super) fn slot_of(&mut self, callback: CallbackPtr) -> EventId {
        if let Some(id) = callback.slot() {
            return id;
        }
        let id = match self.take_idle_slot(callback) {
            Some(id) => id,
            None => self.new_slot(callback),
        };
        callback.set_marks(callback.marks() & Marks::ONCE);
        callback.set_slot(Some(id));
        check::on_pending(callback);
        id
    }

    #[inline(never)]
    fn new_slot(&mut self, callback: CallbackPtr) -> EventId {
        let spec = spec_of(callback).token(callback.token());
        let idle = self.idle.take();
        let registry = self.base.registry();
        let priorities = registry.priorities();
        let id = match idle {
            Some(idle) => registry.replace(idle.id, spec, unused),
            None => registry.create(spec, unused),
        };
        if callback.priority() != priorities / 2 {
            // The number of priorities may have changed since the event was set up.
            let priority = callback.priority().min(priorities - 1);
            registry.set_priority(id, priority).expect("it is idle, and the priority exists");
        }
        id
    }

    /// Makes a callback idle, if it is not.
    #[inline(always)]
    pub(super) fn give_back(&mut self, callback: CallbackPtr) {
        if let Some(id) = callback.slot() {
            self.base.acting().reset(id);
            self.keep_slot(callback, id);
            callback.set_slot(None);
            callback.remove_flags(ListFlags::STATE);
            check::on_idle(callback);
        }
    }
}

/// What evshard's base waits for.
fn spec_of(callback: CallbackPtr) -> EventSpec {
    let event = match callback.closure() {
        Closure::Event | Closure::Signal | Closure::Persist => callback.event(),
        _ => None,
    };
    let Some(event) = event else { return EventSpec::timer() };
    let events = event.events();
    let interest = Interest::from_bits_truncate(events.bits() as u8);
    let mut spec = if events.contains(EventFlags::SIGNAL) {
        EventSpec::signal(event.fd())
    } else if interest.is_empty() {
        EventSpec::timer()
    } else if events.contains(EventFlags::ET) {
        EventSpec::io(&event.fd(), interest).edge()
    } else {
        EventSpec::io(&event.fd(), interest)
    };
    if events.contains(EventFlags::PERSIST) {
        spec = spec.persist();
    }
    spec
}

/// What an event is pending or active for (`event_pending`).
impl Base {
    /// The reasons among `asked`, and when its timeout is due if that is among them.
    pub(crate) fn pending(&self, event: EventPtr, asked: c_short) -> (EventFlags, Option<timeval>) {
        debug::MODE.expect_setup(event, "event_pending");
        let mut state = self.lock();
        let callback = event.callback();
        let Some(id) = callback.slot() else { return (EventFlags::empty(), None) };
        let mut flags = EventFlags::from_bits_retain(state.registry().pending(id).bits().into());
        if callback.marks().contains(Marks::ACTIVATED) {
            flags |= EventFlags::from_bits_retain(event.result());
        }
        let flags = flags & EventFlags::REASONS & EventFlags::from_bits_retain(asked);
        let due = flags.contains(EventFlags::TIMEOUT).then(|| state.due(id)).flatten();
        (flags, due)
    }
}

impl State {
    /// When a timeout is due, on the wall clock.
    pub(super) fn due(&mut self, id: EventId) -> Option<timeval> {
        let registry = self.registry();
        let deadline = registry.deadline(id)?;
        let (now, wall) = (registry.now(), registry.system_time());
        let due = match deadline.checked_duration_since(now) {
            Some(left) => wall + left,
            None => wall - now.duration_since(deadline),
        };
        Some(time::of_moment(due))
    }
}
