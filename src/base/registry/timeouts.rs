//! Timeouts and the clock: what a handler may ask and change, and the expiry of timeouts.

use std::time::{Duration, Instant, SystemTime};

use super::Registry;
use crate::base::events::slot::Interval;
use crate::base::timers::Timers;
use crate::base::timers::clock::ClockKind;
use crate::base::timers::common_timeout::CommonTimeout;
use crate::error::{Error, Result};
use crate::event::{EventId, Ready};
use crate::sys::clock::as_ns;

/// Timeouts.
impl<C> Registry<C> {
    /// A duration that many events share as their timeout (libevent:
    /// `event_base_init_common_timeout`). The same duration returns the same timeout, which lasts
    /// as long as the base.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evshard::{Config, EventBase, EventSpec};
    ///
    /// let mut base = EventBase::<u32>::new(Config::default())?;
    /// let registry = base.registry();
    /// let soon = registry.common_timeout(Duration::from_millis(1))?;
    /// for _ in 0..1000 {
    ///     let id = registry.create(EventSpec::timer(), |_, expired, _| *expired += 1);
    ///     registry.add_common(id, soon)?;
    /// }
    /// let mut expired = 0;
    /// base.run(&mut expired)?;
    /// assert_eq!(expired, 1000);
    /// # Ok::<(), evshard::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooManyTimeouts`] for the 257th duration of a base.
    pub fn common_timeout(&mut self, duration: Duration) -> Result<CommonTimeout> {
        let number = self.timers.deadlines.list_for(as_ns(duration));
        number.map(|number| CommonTimeout { number }).ok_or(Error::TooManyTimeouts)
    }

    /// Drops an event's timeout and interval and changes nothing else (libevent:
    /// `event_remove_timer`).
    pub fn remove_timeout(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.stop_timer(index);
            self.events.slots[index].set_interval(Interval::None);
        }
    }

    /// Starts the timeout of an `add`, or replaces the running one. `interval` re-arms a persistent
    /// event.
    #[inline(always)]
    pub(super) fn set_timeout(&mut self, index: u32, timeout_ns: u64, interval: Interval) {
        // The new timeout replaces an expiry whose handler has not run yet. Other reasons stay.
        // (libevent drops those, too, and so loses an edge.)
        if self.events.slots[index].ready.contains(Ready::TIMEOUT) {
            self.forget_expiry(index);
        }
        let deadline_ns = self.timers.clock.deadline_ns(timeout_ns);
        self.start_timer(index, deadline_ns, interval);
    }

    #[cold]
    fn forget_expiry(&mut self, index: u32) {
        let slot = &mut self.events.slots[index];
        slot.ready -= Ready::TIMEOUT;
        if slot.ready.is_empty() {
            self.events.deactivate(index);
        }
    }

    #[inline(always)]
    fn start_timer(&mut self, index: u32, deadline_ns: u64, interval: Interval) {
        let events = &mut self.events;
        if !events.slots[index].has_timer() {
            events.counts.add(events.slots[index].counted());
        }
        self.timers.deadlines.start(&mut events.slots, index, deadline_ns, interval);
    }

    /// Stops an event's timeout, if it runs.
    #[inline(always)]
    pub(super) fn stop_timer(&mut self, index: u32) {
        let events = &mut self.events;
        if events.slots[index].has_timer() {
            events.counts.remove(events.slots[index].counted());
            self.timers.deadlines.stop(&mut events.slots, index);
        }
    }

    /// Starts a persistent event's next timeout before its handler runs. The interval counts from
    /// the deadline if the event expired, otherwise from now. Missed ticks collapse into one. As in
    /// libevent, an event that waits for a signal is not re-armed.
    #[inline]
    pub(super) fn rearm(&mut self, index: u32, expired: bool) {
        let slot = &mut self.events.slots[index];
        if let Interval::Ns(ns) = slot.interval()
            && slot.source().fd().is_some()
            && slot.postpone(self.timers.clock.deadline_ns(ns))
        {
            // As nearly always: a descriptor was ready before its deadline.
            return;
        }
        self.rearm_from(index, expired);
    }

    fn rearm_from(&mut self, index: u32, expired: bool) {
        let slot = &self.events.slots[index];
        if expired {
            self.timers.expired_ns = slot.deadline_ns;
        }
        let Timers { clock, deadlines, .. } = &mut self.timers;
        let interval = slot.interval();
        let interval_ns = match interval {
            Interval::None => 0,
            Interval::Ns(ns) => ns,
            Interval::Common(number) => deadlines.duration_ns(number).unwrap_or(0),
        };
        if interval_ns == 0 || slot.source().signal().is_some() {
            return;
        }
        let next_ns = slot.deadline_ns.saturating_add(interval_ns);
        let is_on_time = expired && next_ns >= clock.now_ns();
        let deadline_ns = if is_on_time { next_ns } else { clock.deadline_ns(interval_ns) };
        self.start_timer(index, deadline_ns, interval);
    }

    /// Activates every event whose timeout is due.
    pub(in crate::base) fn activate_expired(&mut self) {
        if self.timers.deadlines.is_empty() {
            return;
        }
        let now_ns = self.timers.clock.now_ns();
        while let Some(index) = self.timers.deadlines.first_due(&mut self.events.slots, now_ns) {
            self.stop_timer(index);
            self.activate_index(index, Ready::TIMEOUT);
        }
    }
}

/// The clock.
impl<C> Registry<C> {
    /// The monotonic time, cached: all handlers of one turn get the same moment (libevent:
    /// `event_base_gettimeofday_cached`).
    pub fn now(&mut self) -> Instant {
        let now_ns = self.timers.clock.now_ns();
        self.timers.clock.instant(now_ns)
    }

    /// The same moment in nanoseconds, since the base was created.
    #[cfg(feature = "bufferevent")]
    pub(crate) fn now_ns(&mut self) -> u64 {
        self.timers.clock.now_ns()
    }

    /// The same moment on the wall clock (libevent: `event_base_gettimeofday_cached`).
    pub fn system_time(&mut self) -> SystemTime {
        self.timers.clock.system_time()
    }

    /// Reads the clock again for the rest of this turn (libevent: `event_base_update_cache_time`).
    /// Use it after a long computation.
    pub fn update_time(&mut self) {
        self.timers.clock.refresh();
    }

    /// The clock that the base uses.
    #[must_use]
    pub fn clock_kind(&self) -> ClockKind {
        self.timers.clock.kind()
    }
}
