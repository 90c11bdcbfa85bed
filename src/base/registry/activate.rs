//! Activation by hand: running handlers without anything having become ready.

use crate::base::registry::Registry;
use crate::error::Result;
use crate::event::{EventId, Ready};

/// Events scheduled in one turn that still run in it; libevent's number, one more than its
/// comparison says. Enough for a chain of layers to settle, few enough to look at sockets again.
const SCHEDULED_MAX: u32 = 33;

impl<C> Registry<C> {
    /// Makes an event active by hand, pending or not (libevent: `event_active`). Its handler is
    /// told `ready`, together with what else comes true before it runs.
    ///
    /// A handler that activates its own event runs again in the same pass, without end if it
    /// always does; see [`activate_later`](Self::activate_later) and [`schedule`](Self::schedule).
    /// Activating for no reason (an empty `ready`) does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn activate(&mut self, id: EventId, ready: Ready) -> Result<()> {
        let index = self.slots.resolve(id)?;
        self.activate_index(index, ready);
        Ok(())
    }

    /// Makes an event active in the next turn, after the loop has looked at descriptors and timers
    /// again (libevent: `event_active_later_`). An event that is active already is only told the
    /// further reason.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn activate_later(&mut self, id: EventId, ready: Ready) -> Result<()> {
        let index = self.slots.resolve(id)?;
        self.activate_index_later(index, ready);
        Ok(())
    }

    /// Schedules an event as a deferred callback (libevent: `event_deferred_cb_schedule_`): its
    /// handler is told [`Ready::DEFERRED`], once, however often it is scheduled before. The first
    /// 33 of a turn run in that turn, the others in the next one, so that handlers which schedule
    /// each other cannot keep the loop from its descriptors.
    ///
    /// Returns whether it was idle before, so that it is now due because of this call.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`](crate::Error::Stale) if the event was freed.
    pub fn schedule(&mut self, id: EventId) -> Result<bool> {
        let index = self.slots.resolve(id)?;
        if self.slots[index].is_active() {
            self.slots[index].ready |= Ready::DEFERRED;
            return Ok(false);
        }
        if self.scheduled < SCHEDULED_MAX {
            self.scheduled += 1;
            self.activate_index(index, Ready::DEFERRED);
        } else {
            self.activate_index_later(index, Ready::DEFERRED);
        }
        Ok(true)
    }

    /// Makes every pending event of a descriptor active that asked for some of `ready`
    /// (libevent: `event_base_active_by_fd`). [`Ready::TIMEOUT`] activates those whose timeout
    /// runs; that looks at all running timeouts.
    pub fn activate_by_fd(&mut self, fd: std::os::fd::RawFd, ready: Ready) {
        self.activate_fd(fd, ready - Ready::TIMEOUT);
        if ready.contains(Ready::TIMEOUT) {
            let slots = &self.slots;
            let of_fd = |index: &u32| slots[*index].source().fd() == Some(fd);
            let timed: Vec<u32> = self.deadlines.iter(slots).filter(of_fd).collect();
            for index in timed {
                self.activate_index(index, Ready::TIMEOUT);
            }
        }
    }

    /// Makes every pending event of a signal active, as if it had been delivered once (libevent:
    /// `event_base_active_by_signal`).
    pub fn activate_by_signal(&mut self, number: i32) {
        self.activate_signal_times(number, 1);
    }
}
