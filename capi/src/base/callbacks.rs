//! Deferred callbacks and finalizers, which libevent's upper layers and `event_finalize` use.

use std::ffi::c_int;

use evshard::Ready;

use super::{Base, Blocking, State};
use crate::abi::access::event_ptr::CallbackPtr;
use crate::abi::access::layout::{Closure, Function, ListFlags};

impl Base {
    /// Schedules a deferred callback; whether it was idle (`event_deferred_cb_schedule_`).
    pub(crate) fn schedule(&self, callback: CallbackPtr) -> bool {
        let mut state = self.lock();
        if callback.is_finalizing() {
            return false;
        }
        let id = state.slot_of(callback);
        let is_new = state.base.act(|registry| registry.schedule(id));
        callback.insert_flags(ListFlags::ACTIVE);
        // The slot is there: it cannot be stale.
        is_new.unwrap_or(false)
    }

    /// Makes a callback active; whether it was idle (`event_callback_activate_`).
    pub(crate) fn activate_callback(&self, callback: CallbackPtr) -> bool {
        let mut state = self.lock();
        if callback.is_finalizing() {
            return false;
        }
        let was_idle = callback.slot().is_none();
        state.activate_callback(callback);
        was_idle
    }

    /// Deletes a callback, and calls the finalizer of this closure when no thread runs it
    /// (`event_finalize` and its relatives).
    pub(crate) fn finalize(&self, callback: CallbackPtr, closure: Closure, function: Function) {
        self.lock().finalize(callback, closure, function);
    }

    /// Deletes all callbacks, and calls the finalizer for one of them
    /// (`event_callback_finalize_many_`).
    pub(crate) fn finalize_many(&self, callbacks: &[CallbackPtr], function: Function) {
        let mut state = self.lock();
        let Some(first) = callbacks.first() else { return };
        // At most one runs. Its finalizer runs after it.
        let running = callbacks.iter().find(|callback| state.current == Some(**callback));
        for callback in callbacks.iter().filter(|callback| !callback.is_finalizing()) {
            state.give_back(*callback);
        }
        state.finalize(*running.unwrap_or(first), Closure::FinalizeCallback, function);
    }

    /// The number of the least urgent priority (for `event_callback_init_`).
    pub(crate) fn last_priority(&self) -> u8 {
        self.lock().registry().priorities() - 1
    }

    /// Keeps the loop alive without an event, or no longer (`event_base_add_virtual_`).
    pub(crate) fn hold(&self, holds: bool) {
        self.lock().base.act(|registry| if holds { registry.hold() } else { registry.release() });
    }

    /// Cancels a deferred callback (`event_deferred_cb_cancel_`).
    pub(crate) fn cancel_deferred(&self, callback: CallbackPtr) -> c_int {
        self.cancel(callback, Blocking::Auto);
        0
    }
}

impl State {
    fn activate_callback(&mut self, callback: CallbackPtr) {
        let id = self.slot_of(callback);
        // The slot is there: it cannot be stale.
        let _ = self.base.act(|registry| registry.activate(id, Ready::DEFERRED));
        callback.insert_flags(ListFlags::ACTIVE);
    }

    fn finalize(&mut self, callback: CallbackPtr, closure: Closure, function: Function) {
        self.give_back(callback);
        callback.set_closure(closure);
        callback.set_function(function);
        self.activate_callback(callback);
        callback.insert_flags(ListFlags::FINALIZING);
    }
}
