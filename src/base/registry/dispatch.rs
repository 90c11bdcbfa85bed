//! Dispatch: makes events active, and takes them out of the active queues for their handlers.

use std::fmt;

use super::{Handler, Registry};
use crate::backend::FdReady;
use crate::base::events::list::Stack;
use crate::base::events::slot::{EventFlags, State};
use crate::event::{Fired, Ready};

/// A call that is due: the handler and its arguments, copied out of an event that was settled.
pub struct Call<C> {
    handler: Handler<C>,
    fired: Fired,
    flags: EventFlags,
    /// Of the event, after it was settled.
    state: State,
}

impl<C> Call<C> {
    /// The arguments of the call.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.fired
    }

    /// Whether the event is the base's own. Its handler must be called with the base.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.flags.contains(EventFlags::INTERNAL)
    }

    /// Whether the event still waits for its source, or its timeout runs: it is persistent, and it
    /// was pending when it fired.
    #[inline]
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state.intersects(State::PENDING)
    }

    /// libevent's `what`: the reasons of the call. `EV_ET` (0x20) is among them if the event is
    /// edge triggered and its descriptor is a reason. [`Ready::DEFERRED`] and [`Ready::REFUSED`],
    /// which libevent lacks, are not.
    #[must_use]
    pub fn what(&self) -> u8 {
        let ready = self.fired.ready - (Ready::DEFERRED | Ready::REFUSED);
        let of_fd = ready.intersects(Ready::READ | Ready::WRITE | Ready::CLOSED);
        let edge = if of_fd { self.flags & EventFlags::EDGE } else { EventFlags::empty() };
        ready.bits() | edge.bits()
    }

    /// 1 for an event of the user, 0 for one of the base itself.
    #[inline]
    pub(in crate::base) fn counted(&self) -> u64 {
        u64::from(!self.is_internal())
    }

    #[inline]
    pub(in crate::base) fn run(&self, registry: &mut Registry<C>, cx: &mut C) {
        (self.handler)(registry, cx, self.fired);
    }
}

impl<C> Clone for Call<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Call<C> {}

impl<C> fmt::Debug for Call<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("fired", &self.fired).field("flags", &self.flags).finish()
    }
}

impl<C> Registry<C> {
    /// Adds reasons to call an event's handler, and makes the event active. Empty reasons have no
    /// effect.
    #[inline(always)]
    pub(super) fn activate_index(&mut self, index: u32, ready: Ready) {
        let events = &mut self.events;
        let slot = &mut events.slots[index];
        slot.ready |= ready;
        if ready.is_empty() || slot.state.contains(State::ACTIVE) {
            return;
        }
        let (priority, counted) = (slot.priority, slot.counted());
        if slot.state.contains(State::LATER) {
            events.active.remove(&mut events.slots, index);
        } else {
            events.counts.activate(counted);
        }
        events.active.push(&mut events.slots, index);
        self.control.note_activated(priority);
    }

    /// Activates every event of a descriptor whose interest is among `ready`.
    #[inline(never)]
    pub(super) fn activate_fd(&mut self, fd: i32, ready: Ready) {
        self.activate_all(self.events.fds.events_of(fd), ready);
    }

    #[inline(always)]
    fn activate_all(&mut self, events: Stack, ready: Ready) {
        let mut cursor = events.cursor();
        while let Some(index) = cursor.next(&self.events.slots) {
            let reasons = Ready::from(self.events.slots[index].interest()) & ready;
            if !reasons.is_empty() {
                self.activate_index(index, reasons);
            }
        }
    }

    /// The same for a descriptor that the backend reported; re-arms it if no event waits for that.
    #[inline]
    pub(in crate::base) fn activate_reported(&mut self, FdReady { fd, ready }: FdReady) {
        let Some((events, is_once)) = self.events.fds.reported(fd) else { return };
        if is_once {
            self.activate_reported_once(fd, ready);
        } else {
            self.activate_all(events, ready);
        }
    }

    fn activate_reported_once(&mut self, fd: i32, ready: Ready) {
        if let Some(again) = self.events.fds.reported_once(&self.events.slots, fd, ready)
            && let Err(refusal) = self.kernel.update(&mut self.events.fds, again, false)
        {
            self.refuse_fd(refusal);
        }
        self.activate_fd(fd, ready);
    }

    /// Activates the notify events, as if the backend had reported their eventfd.
    pub(in crate::base) fn activate_notified(&mut self) {
        self.activate_fd(self.notifier.fd(), Ready::READ);
    }

    pub(in crate::base) fn has_active(&self) -> bool {
        !self.events.active.is_empty()
    }

    /// Takes the next active event of this priority and settles its state, so that the handler may
    /// do anything.
    #[inline]
    pub(in crate::base) fn begin_dispatch(&mut self, priority: u8) -> Option<Call<C>> {
        let index = self.events.active.pop(&mut self.events.slots, priority)?;
        let slot = &mut self.events.slots[index];
        let (handler, fired, flags) = (slot.handler, slot.fired(index), slot.flags);
        let (counted, has_interval) = (slot.counted(), slot.has_interval());
        let mut state = slot.state;
        slot.ready = Ready::empty();
        self.events.counts.deactivate(counted);
        self.control.begin_handler(fired.id);
        if fired.source.is_signal() {
            self.control.call_times(self.events.signals.take_calls(fired.id));
        }
        if !flags.contains(EventFlags::PERSIST) {
            if flags.contains(EventFlags::ONCE) {
                self.free_index(index);
            } else if state.intersects(State::PENDING) {
                self.del_index(index);
            }
            state = State::empty();
        } else if has_interval {
            self.rearm(index, fired.ready.contains(Ready::TIMEOUT));
            state = self.events.slots[index].state;
        }
        Some(Call { handler, fired, flags, state })
    }
}
