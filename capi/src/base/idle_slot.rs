//! The slot of the event that became idle last.
//!
//! Most often the same event is added next, as a timer by its callback, and the slot still has all
//! that the base must know of it.

use evshard::EventId;

use super::State;
use crate::abi::access::event_ptr::CallbackPtr;

/// See the module's documentation. The event has the slot's id, too (`last_slot`), until it is set
/// up again. So no other event that the program puts into the same memory gets the slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct IdleSlot {
    callback: CallbackPtr,
    pub(super) id: EventId,
}

impl State {
    /// Keeps the slot of an event that became idle, until another event becomes idle. The slot is
    /// as that of a new event.
    #[inline]
    pub(super) fn keep_slot(&mut self, callback: CallbackPtr, id: EventId) {
        self.end_idle_slot();
        if let Some(event) = callback.event() {
            event.set_last_slot(Some(id));
        }
        self.idle = Some(IdleSlot { callback, id });
    }

    /// Takes the slot that the event had before, if the base still has it.
    #[inline]
    pub(super) fn take_idle_slot(&mut self, callback: CallbackPtr) -> Option<EventId> {
        let id = callback.event()?.last_slot()?;
        let is_its_own = self.idle == Some(IdleSlot { callback, id });
        is_its_own.then(|| {
            self.idle = None;
            id
        })
    }

    #[inline]
    pub(super) fn end_idle_slot(&mut self) {
        if let Some(IdleSlot { id, .. }) = self.idle.take() {
            self.registry().give_back(id);
        }
    }
}
