//! Activation by hand: runs handlers although no descriptor, signal or timeout is ready.

use super::Registry;
use crate::error::Result;
use crate::event::{EventId, Ready};

impl<C> Registry<C> {
    /// Makes an event active, pending or not (libevent: `event_active`). Its handler gets `ready`
    /// and all other reasons that arise before it runs.
    ///
    /// A handler that activates its own event runs again in the same pass, and so can loop for
    /// ever; see [`activate_later`](Self::activate_later) and [`schedule`](Self::schedule).
    /// An empty `ready` has no effect.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn activate(&mut self, id: EventId, ready: Ready) -> Result<()> {
        let index = self.events.slots.resolve(id)?;
        self.activate_index(index, ready);
        Ok(())
    }

    /// The same for an event that waits for a signal, as if the signal had been delivered `times`
    /// times (libevent: `event_active` with `ncalls`): its handler is called as often, unless it is
    /// deleted or the loop is broken. 0 counts as 1. Every other event is called once.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn activate_times(&mut self, id: EventId, ready: Ready, times: u32) -> Result<()> {
        let index = self.events.slots.resolve(id)?;
        if !ready.is_empty() && self.events.slots[index].source().signal().is_some() {
            self.events.signals.add_calls(id, times.max(1));
        }
        self.activate_index(index, ready);
        Ok(())
    }

    /// Makes an event active in the next turn, after the loop has polled descriptors and timers
    /// again (libevent: `event_active_later_`). An event that is already active only gets the
    /// additional reason.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn activate_later(&mut self, id: EventId, ready: Ready) -> Result<()> {
        let index = self.events.slots.resolve(id)?;
        self.events.activate_later(index, ready);
        Ok(())
    }

    /// Schedules an event as a deferred callback (libevent: `event_deferred_cb_schedule_`). Its
    /// handler runs once with [`Ready::DEFERRED`], however often the event is scheduled before.
    ///
    /// The first 33 events scheduled in a turn run in that turn, the others in the next one.
    /// Handlers that schedule each other therefore cannot starve the descriptors.
    ///
    /// Returns whether the event was idle and is active because of this call.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn schedule(&mut self, id: EventId) -> Result<bool> {
        let index = self.events.slots.resolve(id)?;
        if self.events.slots[index].is_active() {
            self.events.slots[index].ready |= Ready::DEFERRED;
            return Ok(false);
        }
        if self.control.count_scheduled() {
            self.activate_index(index, Ready::DEFERRED);
        } else {
            self.events.activate_later(index, Ready::DEFERRED);
        }
        Ok(true)
    }

    /// Activates every pending event of a descriptor whose interest is among `ready` (libevent:
    /// `event_base_active_by_fd`). [`Ready::TIMEOUT`] activates its events with a running timeout;
    /// that is O(n) in all running timeouts.
    pub fn activate_by_fd(&mut self, fd: std::os::fd::RawFd, ready: Ready) {
        self.activate_fd(fd, ready - Ready::TIMEOUT);
        if ready.contains(Ready::TIMEOUT) {
            let slots = &self.events.slots;
            let of_fd = |index: &u32| slots[*index].source().fd() == Some(fd);
            let timed: Vec<u32> = self.timers.deadlines.iter(slots).filter(of_fd).collect();
            for index in timed {
                self.activate_index(index, Ready::TIMEOUT);
            }
        }
    }

    /// Activates every pending event of a signal, as if the signal had been delivered once
    /// (libevent: `event_base_active_by_signal`).
    pub fn activate_by_signal(&mut self, number: i32) {
        self.activate_signal_times(number, 1);
    }
}
