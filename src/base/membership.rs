//! Memberships: how an event enters and leaves the descriptor map, the timer heap and the active
//! queue, and how the kernel is told.
//!
//! The private half of the registry. Each step leaves the three structures in agreement, so that
//! a handler can be called after any of them.

use std::time::Duration;

use super::Handler;
use super::changelist::ChangelistPolicy;
use super::registry::Registry;
use super::slot::{Flags, NONE, SlotTable};
use super::timer::Positions;
use crate::backend::{Change, FdReady, Refusal};
use crate::error::Result;
use crate::event::{Fired, Ready};

impl<C> Positions for SlotTable<C> {
    fn moved(&mut self, index: u32, position: u32) {
        self[index].heap_pos = position;
    }
}

/// Membership in the descriptor map, and telling the kernel.
impl<C> Registry<C> {
    pub(super) fn insert_on_fd(&mut self, index: u32) -> Result<()> {
        let Some(fd) = self.slots[index].fd() else { return Ok(()) };
        // Nothing to wait for, and nothing to keep the loop alive.
        if self.slots[index].interest.is_empty() {
            return Ok(());
        }
        if let Some(change) = self.fds.insert(&mut self.slots, index, fd)? {
            let stable = self.slots[index].flags.contains(Flags::STABLE_FD);
            if let Err(refusal) = self.tell_kernel(change, stable) {
                self.fds.remove(&mut self.slots, index, fd);
                // Those that were watched before no longer are.
                self.refuse_fd(refusal);
                return Err(refusal.into());
            }
        }
        self.counts.inserted += self.counted(index);
        Ok(())
    }

    fn remove_from_fd(&mut self, index: u32) {
        let Some(fd) = self.slots[index].fd() else { return };
        self.counts.inserted -= self.counted(index);
        let stable = self.slots[index].flags.contains(Flags::STABLE_FD);
        if let Some(change) = self.fds.remove(&mut self.slots, index, fd)
            && let Err(refusal) = self.tell_kernel(change, stable)
        {
            // The event itself is gone from the map; what was refused concerns those that stay.
            self.refuse_fd(refusal);
        }
    }

    fn tell_kernel(&mut self, change: Change, stable: bool) -> std::result::Result<(), Refusal> {
        match self.policy {
            ChangelistPolicy::Deferred => {
                let place = self.fds.change_place_mut(change.fd);
                self.changelist.record(change, place, stable);
                Ok(())
            }
            ChangelistPolicy::Immediate => {
                self.stats.changes += 1;
                self.backend.apply(&[change], &mut self.refused);
                self.refused.pop().map_or(Ok(()), Err)
            }
        }
    }

    /// Brings the kernel in line before a wait; what it refuses becomes active.
    pub(super) fn flush_changes(&mut self) {
        if self.changelist.is_empty() {
            return;
        }
        let net = self.changelist.take(|fd| *self.fds.change_place_mut(fd) = 0);
        self.stats.changes += net.len() as u64;
        self.backend.apply(net, &mut self.refused);
        while let Some(refusal) = self.refused.pop() {
            self.refuse_fd(refusal);
        }
    }

    /// Takes every event off a descriptor that the kernel does not watch, and tells each why.
    fn refuse_fd(&mut self, refusal: Refusal) {
        loop {
            let index = self.fds.first(refusal.fd);
            if index == NONE {
                return;
            }
            self.counts.inserted -= self.counted(index);
            self.fds.remove(&mut self.slots, index, refusal.fd);
            self.stop_timer(index);
            self.slots[index].interval_ns = 0;
            let id = self.slots[index].fired(index).id;
            self.refusals.retain(|(refused, _)| *refused != id);
            self.refusals.push((id, refusal));
            self.activate_index(index, Ready::REFUSED);
        }
    }
}

/// Membership in the timer heap.
impl<C> Registry<C> {
    /// `add` with a timeout.
    pub(super) fn set_timeout(&mut self, index: u32, timeout_ns: u64) {
        let now_ns = self.clock.now_ns();
        let slot = &mut self.slots[index];
        if slot.flags.contains(Flags::PERSIST) {
            slot.interval_ns = timeout_ns;
        }
        // An expiry that has not been told yet is superseded by the new timeout; other reasons to
        // run stay (libevent drops those, too, which loses an edge).
        slot.ready -= Ready::TIMEOUT;
        if slot.ready.is_empty() && slot.flags.contains(Flags::ACTIVE) {
            self.deactivate(index);
        }
        self.start_timer(index, now_ns.saturating_add(timeout_ns));
    }

    fn start_timer(&mut self, index: u32, deadline_ns: u64) {
        self.slots[index].deadline_ns = deadline_ns;
        if self.slots[index].has_timer() {
            let position = self.slots[index].heap_pos;
            self.timers.update(position, deadline_ns, &mut self.slots);
        } else {
            self.counts.timers += self.counted(index);
            self.timers.insert(index, deadline_ns, &mut self.slots);
        }
    }

    pub(super) fn stop_timer(&mut self, index: u32) {
        if self.slots[index].has_timer() {
            self.counts.timers -= self.counted(index);
            self.timers.remove(self.slots[index].heap_pos, &mut self.slots);
            self.slots[index].heap_pos = NONE;
        }
    }

    /// How long the next wait may last by the timers; `None` if there are none.
    pub(super) fn time_to_next_timer(&self) -> Option<Duration> {
        let deadline_ns = self.timers.next_deadline()?;
        Some(Duration::from_nanos(deadline_ns.saturating_sub(self.clock.read_ns())))
    }

    /// Makes every event active whose timeout is due.
    pub(super) fn activate_expired(&mut self) {
        if self.timers.len() == 0 {
            return;
        }
        let now_ns = self.clock.now_ns();
        while let Some(index) = self.timers.first_due(now_ns) {
            self.stop_timer(index);
            self.activate_index(index, Ready::TIMEOUT);
        }
    }

    /// A persistent event's next timeout, before its handler runs: from the moment it was due if
    /// that is why it fired, else from now. Ticks that were missed collapse into one.
    fn rearm(&mut self, index: u32) {
        let slot = &self.slots[index];
        if slot.interval_ns == 0 {
            return;
        }
        let (due_ns, interval_ns) = (slot.deadline_ns, slot.interval_ns);
        let expired = slot.ready.contains(Ready::TIMEOUT);
        let now_ns = self.clock.now_ns();
        let next_ns = due_ns.saturating_add(interval_ns);
        let on_beat = expired && next_ns >= now_ns;
        let deadline_ns = if on_beat { next_ns } else { now_ns.saturating_add(interval_ns) };
        self.start_timer(index, deadline_ns);
    }
}

/// Membership in the active queue.
impl<C> Registry<C> {
    pub(super) fn activate_index(&mut self, index: u32, ready: Ready) {
        self.slots[index].ready |= ready;
        if !self.slots[index].flags.contains(Flags::ACTIVE) && !ready.is_empty() {
            self.counts.active += self.counted(index);
            self.active.push(&mut self.slots, index);
        }
    }

    fn deactivate(&mut self, index: u32) {
        self.counts.active -= self.counted(index);
        self.active.remove(&mut self.slots, index);
        self.slots[index].ready = Ready::empty();
    }

    /// Makes every event of a ready descriptor active that asked for what it is ready for.
    pub(super) fn activate_fd(&mut self, FdReady { fd, ready }: FdReady) {
        let mut index = self.fds.first(fd);
        while index != NONE {
            let answer = Ready::from(self.slots[index].interest) & ready;
            let next = self.slots[index].on_fd.next;
            if !answer.is_empty() {
                self.activate_index(index, answer);
            }
            index = next;
        }
    }

    /// The notify events, as if their eventfd had been seen.
    pub(super) fn activate_notified(&mut self) {
        self.activate_fd(FdReady { fd: self.notifier.fd(), ready: Ready::READ });
    }

    pub(super) fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Settles the event that is due next and returns what to call, with no trace of it left
    /// here: the handler may do anything. Also says whether the event is the user's.
    pub(super) fn begin_dispatch(&mut self) -> Option<(Handler<C>, Fired, bool)> {
        let index = self.active.first()?;
        let fired = self.slots[index].fired(index);
        if self.slots[index].flags.contains(Flags::PERSIST) {
            self.rearm(index);
            self.deactivate(index);
        } else {
            self.del_index(index);
        }
        let slot = &self.slots[index];
        Some((slot.handler, fired, !slot.is_internal()))
    }

    pub(super) fn del_index(&mut self, index: u32) {
        let flags = self.slots[index].flags;
        if flags.contains(Flags::ACTIVE) {
            self.deactivate(index);
        }
        if flags.contains(Flags::INSERTED) {
            self.remove_from_fd(index);
        }
        self.stop_timer(index);
    }

    /// Whether nothing of the user's is pending or active: the loop has nothing to wait for.
    pub(super) fn has_nothing_to_do(&self) -> bool {
        self.counts.inserted + self.counts.timers + self.counts.active == 0
    }

    fn counted(&self, index: u32) -> usize {
        usize::from(!self.slots[index].is_internal())
    }

    /// Panics unless all structures agree with each other.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.fds.check(&self.slots);
        self.active.check(&self.slots);
        self.timers.check(|index| self.slots[index].heap_pos);
        self.changelist.check(|fd| self.fds.change_place(fd));
        let users = |slot: &&super::slot::Slot<C>| !slot.is_internal();
        let slots: Vec<_> =
            self.slots.indices().map(|index| &self.slots[index]).filter(users).collect();
        let with = |flag| slots.iter().filter(|slot| slot.flags.contains(flag)).count();
        assert_eq!(self.counts.inserted, with(Flags::INSERTED));
        assert_eq!(self.counts.active, with(Flags::ACTIVE));
        assert_eq!(self.counts.timers, slots.iter().filter(|slot| slot.has_timer()).count());
    }
}
