//! Memberships: adds events to and removes them from the maps, the deadlines and the active queues,
//! and updates the kernel.
//!
//! This is the private half of the registry. Each step leaves the structures consistent, so that a
//! handler can be called after any step.

use std::time::Duration;

use super::{Handler, Registry};
use crate::backend::{Change, FdReady, Features, RefusedChange};
use crate::base::changelist::ChangelistPolicy;
use crate::base::events::slot::NONE;
use crate::base::events::slot::{EventFlags, Interval, State};
use crate::error::{Error, Result};
use crate::event::{Fired, Interest, Ready, Source};

/// Membership in the maps, and updates of the kernel.
impl<C> Registry<C> {
    /// Makes an event wait for its source.
    pub(in crate::base) fn insert(&mut self, index: u32) -> Result<()> {
        match self.slots[index].source() {
            Source::Fd(fd) => self.insert_on_fd(index, fd),
            Source::Signal(number) => self.insert_on_signal(index, number),
            Source::Timer | Source::Notify => Ok(()),
        }
    }

    fn insert_on_fd(&mut self, index: u32, fd: i32) -> Result<()> {
        // It waits for nothing, and so does not keep the loop alive.
        if self.slots[index].interest().is_empty() {
            return Ok(());
        }
        self.expect_features(index)?;
        if let Some(change) = self.fds.insert(&mut self.slots, index, fd)? {
            let stable = self.slots[index].flags.contains(EventFlags::STABLE_FD);
            if let Err(refusal) = self.update_kernel(change, stable) {
                self.fds.remove(&mut self.slots, index, fd);
                // The kernel no longer watches the descriptor for its other events either.
                self.refuse_fd(refusal);
                return Err(refusal.into());
            }
        }
        self.counts.joined(self.slots[index].counted());
        Ok(())
    }

    /// Rejects what the backend does not support; it would never report it, or report it
    /// arbitrarily.
    fn expect_features(&self, index: u32) -> Result<()> {
        let slot = &self.slots[index];
        let waits_for_close = slot.interest().contains(Interest::CLOSED);
        if !slot.is_edge() && !waits_for_close {
            return Ok(());
        }
        let has = self.backend.features();
        let lacks = |what| Err(Error::Unsupported { backend: self.backend.name(), what });
        if slot.is_edge() && !has.contains(Features::EDGE) {
            return lacks("edge-triggered events");
        }
        if waits_for_close && !has.contains(Features::EARLY_CLOSE) {
            return lacks("events that wait for the peer's close");
        }
        Ok(())
    }

    fn remove(&mut self, index: u32) {
        self.counts.left(self.slots[index].counted());
        match self.slots[index].source() {
            Source::Fd(fd) => self.remove_from_fd(index, fd),
            Source::Signal(number) => self.signals.remove(&mut self.slots, index, number),
            Source::Timer | Source::Notify => {}
        }
    }

    fn remove_from_fd(&mut self, index: u32, fd: i32) {
        let stable = self.slots[index].flags.contains(EventFlags::STABLE_FD);
        if let Some(change) = self.fds.remove(&mut self.slots, index, fd)
            && let Err(refusal) = self.update_kernel(change, stable)
        {
            // The event itself is gone from the map; the refusal concerns those that stay.
            self.refuse_fd(refusal);
        }
    }

    fn update_kernel(
        &mut self,
        change: Change,
        stable: bool,
    ) -> std::result::Result<(), RefusedChange> {
        match self.policy {
            ChangelistPolicy::Deferred => {
                let position = self.fds.change_position_mut(change.fd);
                self.changelist.record(change, position, stable);
                Ok(())
            }
            ChangelistPolicy::Immediate => {
                self.stats.changes += 1;
                self.backend.apply(&[change], &mut self.refused);
                self.refused.pop().map_or(Ok(()), Err)
            }
        }
    }

    /// Flushes the changes since the last wait and waits, in one step of the backend. Events of
    /// refused changes become active.
    pub(in crate::base) fn flush_and_wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> std::io::Result<()> {
        let waited = if self.changelist.is_empty() {
            self.backend.wait(timeout, ready)
        } else {
            let net = self.changelist.take(|fd| *self.fds.change_position_mut(fd) = 0);
            self.stats.changes += net.len() as u64;
            self.backend.apply_and_wait(net, &mut self.refused, timeout, ready)
        };
        self.report_refusals();
        waited
    }

    /// Flushes the changes without waiting.
    pub(in crate::base) fn flush_changes(&mut self) {
        let net = self.changelist.take(|fd| *self.fds.change_position_mut(fd) = 0);
        self.stats.changes += net.len() as u64;
        self.backend.apply(net, &mut self.refused);
        self.report_refusals();
    }

    pub(in crate::base) fn report_refusals(&mut self) {
        while let Some(refusal) = self.refused.pop() {
            self.refuse_fd(refusal);
        }
    }

    /// Removes every event from a descriptor that the kernel refused, and activates each with the
    /// error.
    fn refuse_fd(&mut self, refusal: RefusedChange) {
        loop {
            let index = self.fds.first(refusal.fd);
            if index == NONE {
                return;
            }
            self.counts.left(self.slots[index].counted());
            self.fds.remove(&mut self.slots, index, refusal.fd);
            self.refuse(index, refusal.into());
        }
    }

    /// Makes an event idle that could not be pending, and activates it with the error.
    pub(in crate::base) fn refuse(&mut self, index: u32, error: Error) {
        self.stop_timer(index);
        self.slots[index].set_interval(Interval::None);
        let id = self.slots[index].id(index);
        self.refusals.retain(|(refused, _)| *refused != id);
        self.refusals.push((id, error));
        self.activate_index(index, Ready::REFUSED);
    }
}

/// Membership in the deadlines.
impl<C> Registry<C> {
    /// The timeout of an `add`.
    pub(in crate::base) fn set_timeout(&mut self, index: u32, timeout_ns: u64, interval: Interval) {
        // The new timeout replaces an expiry whose handler has not run yet. Other reasons stay.
        // (libevent drops those, too, and so loses an edge.)
        let slot = &mut self.slots[index];
        if slot.ready.contains(Ready::TIMEOUT) {
            slot.ready -= Ready::TIMEOUT;
            if slot.ready.is_empty() {
                self.deactivate(index);
            }
        }
        let deadline_ns = self.clock.deadline_ns(timeout_ns);
        self.start_timer(index, deadline_ns, interval);
    }

    fn start_timer(&mut self, index: u32, deadline_ns: u64, interval: Interval) {
        if !self.slots[index].has_timer() {
            self.counts.joined(self.slots[index].counted());
        }
        self.deadlines.start(&mut self.slots, index, deadline_ns, interval);
    }

    pub(in crate::base) fn stop_timer(&mut self, index: u32) {
        if self.slots[index].has_timer() {
            self.counts.left(self.slots[index].counted());
            self.deadlines.stop(&mut self.slots, index);
        }
    }

    /// The time until the next timer is due; `None` without timers.
    pub(in crate::base) fn time_to_next_timer(&mut self) -> Option<Duration> {
        let deadline_ns = self.deadlines.next_ns(&mut self.slots)?;
        Some(self.clock.time_until(deadline_ns))
    }

    /// Activates every event whose timeout is due.
    pub(in crate::base) fn activate_expired(&mut self) {
        if self.deadlines.is_empty() {
            return;
        }
        let now_ns = self.clock.now_ns();
        while let Some(index) = self.deadlines.first_due(&mut self.slots, now_ns) {
            self.stop_timer(index);
            self.activate_index(index, Ready::TIMEOUT);
        }
    }

    /// Starts a persistent event's next timeout before its handler runs. The interval counts from
    /// the deadline if the event expired, otherwise from now. Missed ticks collapse into one. As in
    /// libevent, an event that waits for a signal is not re-armed.
    fn rearm(&mut self, index: u32, expired: bool) {
        let slot = &self.slots[index];
        let interval = slot.interval();
        let interval_ns = match interval {
            Interval::None => 0,
            Interval::Ns(ns) => ns,
            Interval::Common(number) => self.deadlines.duration_ns(number).unwrap_or(0),
        };
        if interval_ns == 0 || slot.source().signal().is_some() {
            return;
        }
        let due_ns = slot.deadline_ns;
        let now_ns = self.clock.now_ns();
        let next_ns = due_ns.saturating_add(interval_ns);
        let on_beat = expired && next_ns >= now_ns;
        let deadline_ns = if on_beat { next_ns } else { self.clock.deadline_ns(interval_ns) };
        self.start_timer(index, deadline_ns, interval);
    }
}

/// Membership in the active queues.
impl<C> Registry<C> {
    pub(in crate::base) fn activate_index(&mut self, index: u32, ready: Ready) {
        let slot = &mut self.slots[index];
        slot.ready |= ready;
        if ready.is_empty() || slot.state.contains(State::ACTIVE) {
            return;
        }
        let (priority, counted) = (slot.priority, slot.counted());
        if slot.state.contains(State::LATER) {
            self.active.remove(&mut self.slots, index);
        } else {
            self.counts.activated(counted);
        }
        self.active.push(&mut self.slots, index);
        self.control.activated(priority);
    }

    pub(in crate::base) fn activate_index_later(&mut self, index: u32, ready: Ready) {
        let slot = &mut self.slots[index];
        slot.ready |= ready;
        if !ready.is_empty() && !slot.is_active() {
            self.counts.activated(slot.counted());
            self.active.push_later(&mut self.slots, index);
        }
    }

    fn deactivate(&mut self, index: u32) {
        self.active.remove(&mut self.slots, index);
        let slot = &mut self.slots[index];
        self.counts.deactivated(slot.counted());
        if std::mem::take(&mut slot.ready).contains(Ready::SIGNAL) {
            let id = slot.id(index);
            self.signals.take_calls(id);
        }
    }

    /// Activates every event of a descriptor whose interest is among `ready`.
    pub(in crate::base) fn activate_fd(&mut self, fd: i32, ready: Ready) {
        let mut index = self.fds.first(fd);
        while index != NONE {
            let slot = &self.slots[index];
            let (answer, next) = (Ready::from(slot.interest()) & ready, slot.of_source.next);
            if !answer.is_empty() {
                self.activate_index(index, answer);
            }
            index = next;
        }
    }

    /// The same for a descriptor that the backend reported; re-arms it if no event waits for that.
    pub(in crate::base) fn activate_reported(&mut self, FdReady { fd, ready }: FdReady) {
        if self.fds.is_once(fd)
            && let Some(again) = self.fds.reported_once(&self.slots, fd, ready)
            && let Err(refusal) = self.update_kernel(again, false)
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
        !self.active.is_empty()
    }

    /// Takes the next active event of this priority and settles its state, so that the handler may
    /// do anything. Returns the handler, its argument, and whether the event is the user's.
    pub(in crate::base) fn begin_dispatch(
        &mut self,
        priority: u8,
    ) -> Option<(Handler<C>, Fired, bool)> {
        let index = self.active.pop(&mut self.slots, priority)?;
        let slot = &mut self.slots[index];
        let (handler, fired, flags) = (slot.handler, slot.fired(index), slot.flags);
        let (counted, has_interval) = (slot.counted(), slot.has_interval());
        slot.ready = Ready::empty();
        self.counts.deactivated(counted);
        let is_signal = fired.ready.contains(Ready::SIGNAL);
        let calls = if is_signal { self.signals.take_calls(fired.id) } else { 1 };
        if !flags.contains(EventFlags::PERSIST) {
            if flags.contains(EventFlags::ONCE) {
                self.free_index(index);
            } else {
                self.del_index(index);
            }
        } else if has_interval {
            self.rearm(index, fired.ready.contains(Ready::TIMEOUT));
        }
        self.control.begin_handler(fired.id, priority, calls);
        Some((handler, fired, !flags.contains(EventFlags::INTERNAL)))
    }

    pub(in crate::base) fn del_index(&mut self, index: u32) {
        let state = self.slots[index].state;
        if state.intersects(State::ACTIVE | State::LATER) {
            self.deactivate(index);
        }
        if state.contains(State::INSERTED) {
            self.remove(index);
        }
        self.stop_timer(index);
    }

    pub(in crate::base) fn free_index(&mut self, index: u32) {
        self.del_index(index);
        if let Source::Fd(fd) = self.slots[index].source() {
            // From now on its owner may close it.
            self.fds.forget_disarmed(fd);
            self.changelist.distrust(self.fds.change_position(fd));
        }
        if !self.refusals.is_empty() {
            let id = self.slots[index].id(index);
            self.refusals.retain(|(refused, _)| *refused != id);
        }
        self.slots.remove(index);
    }

    /// Panics unless all structures agree with each other.
    #[cfg(test)]
    pub(in crate::base) fn check(&mut self) {
        self.fds.check(&self.slots);
        self.active.check(&self.slots);
        self.deadlines.check(&mut self.slots);
        self.changelist.check(|fd| self.fds.change_position(fd));
        let slots: Vec<_> = self.slots.indices().map(|index| &self.slots[index]).collect();
        let users = slots.iter().filter(|slot| !slot.is_internal());
        let memberships = users.clone().map(|slot| {
            let inserted = slot.state.contains(State::INSERTED);
            usize::from(inserted) + usize::from(slot.has_timer()) + usize::from(slot.is_active())
        });
        assert_eq!(self.counts.now.added, memberships.sum::<usize>());
        assert_eq!(self.counts.now.active, users.filter(|slot| slot.is_active()).count());
    }
}
