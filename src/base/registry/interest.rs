//! Interest in descriptors and signals: adds events to the maps, removes them, updates the kernel,
//! and handles the changes that it refuses.

use super::Registry;
use crate::backend::RefusedChange;
use crate::base::events::slot::{EventFlags, Interval, State};
use crate::base::kernel::Wait;
use crate::error::{Error, Result};
use crate::event::{Ready, Source};

impl<C> Registry<C> {
    /// Makes an event wait for its source.
    #[inline(never)]
    pub(super) fn insert_in_map(&mut self, index: u32) -> Result<()> {
        match self.events.slots[index].source() {
            Source::Fd(fd) => self.insert_on_fd(index, fd),
            Source::Signal(number) => self.insert_on_signal(index, number),
            Source::Timer | Source::Notify => Ok(()),
        }
    }

    fn insert_on_fd(&mut self, index: u32, fd: i32) -> Result<()> {
        let events = &mut self.events;
        let slot = &events.slots[index];
        // It waits for nothing, and so does not keep the loop alive.
        if slot.interest().is_empty() {
            return Ok(());
        }
        self.kernel.expect_features(slot.interest(), slot.is_edge())?;
        if let Some(change) = events.fds.insert(&mut events.slots, index, fd)? {
            let stable = events.slots[index].flags.contains(EventFlags::STABLE_FD);
            if let Err(refusal) = self.kernel.update(&mut events.fds, change, stable) {
                events.fds.remove(&mut events.slots, index, fd);
                // The kernel no longer watches the descriptor for its other events either.
                self.refuse_fd(refusal);
                return Err(refusal.into());
            }
        }
        events.counts.add(events.slots[index].counted());
        Ok(())
    }

    /// Ends an event's wait for its source.
    #[inline(never)]
    pub(super) fn remove_from_map(&mut self, index: u32) {
        let events = &mut self.events;
        events.counts.remove(events.slots[index].counted());
        match events.slots[index].source() {
            Source::Fd(fd) => self.remove_from_fd(index, fd),
            Source::Signal(number) => events.signals.remove(&mut events.slots, index, number),
            Source::Timer | Source::Notify => {}
        }
    }

    fn remove_from_fd(&mut self, index: u32, fd: i32) {
        let events = &mut self.events;
        let stable = events.slots[index].flags.contains(EventFlags::STABLE_FD);
        if let Some(change) = events.fds.remove(&mut events.slots, index, fd)
            && let Err(refusal) = self.kernel.update(&mut events.fds, change, stable)
        {
            // The event itself is gone from the map; the refusal concerns those that stay.
            self.refuse_fd(refusal);
        }
    }

    /// Ends an event's wait for a descriptor that is about to be closed, where the kernel then
    /// forgets it without a change.
    pub(super) fn remove_from_closing_fd(&mut self, index: u32) {
        let events = &mut self.events;
        let Source::Fd(fd) = events.slots[index].source() else { return };
        if !self.kernel.forgets_closed() {
            return;
        }
        if events.slots[index].state.contains(State::INSERTED) {
            events.counts.remove(events.slots[index].counted());
            events.fds.remove(&mut events.slots, index, fd);
        }
        self.kernel.forget(&events.fds, fd);
    }

    /// Flushes the changes without waiting.
    pub(in crate::base) fn flush_changes(&mut self) {
        self.kernel.flush(&mut self.events.fds);
        self.report_refusals();
    }

    /// The same for the changes that a wait made, before the backend is back.
    #[inline]
    pub(in crate::base) fn report_refusals_of(&mut self, wait: &mut Wait) {
        while let Some(refusal) = wait.take_refused() {
            self.refuse_fd(refusal);
        }
    }

    /// Activates the events of the last flush's refused changes, with the errors.
    pub(in crate::base) fn report_refusals(&mut self) {
        while let Some(refusal) = self.kernel.take_refused() {
            self.refuse_fd(refusal);
        }
    }

    /// Removes every event from a descriptor that the kernel refused, and activates each with the
    /// error.
    pub(super) fn refuse_fd(&mut self, refusal: RefusedChange) {
        while let Some(index) = self.events.fds.events_of(refusal.fd).first() {
            let events = &mut self.events;
            events.counts.remove(events.slots[index].counted());
            events.fds.remove(&mut events.slots, index, refusal.fd);
            self.refuse(index, refusal.into());
        }
    }

    /// Makes an event idle that could not be pending, and activates it with the error.
    pub(super) fn refuse(&mut self, index: u32, error: Error) {
        self.stop_timer(index);
        self.events.slots[index].set_interval(Interval::None);
        self.events.put_refusal(index, error);
        self.activate_index(index, Ready::REFUSED);
    }
}
