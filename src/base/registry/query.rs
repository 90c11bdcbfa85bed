//! Queries about events and the base.

use std::ops::ControlFlow;
use std::os::fd::RawFd;
use std::time::Instant;

use super::Registry;
use crate::backend::Features;
use crate::base::cross_thread::notify::Notifier;
use crate::base::events::Events;
use crate::base::events::slot::State;
use crate::base::setup::selection::PassedOver;
use crate::base::stats::{EventCounts, LoopStats, MembershipCounts};
use crate::error::Error;
use crate::event::{EventId, Interest, Ready, Token};

/// One event, as [`Registry::info`] and [`Registry::for_each`] report it.
#[derive(Clone, Copy, Debug)]
pub struct EventInfo {
    /// Its id.
    pub id: EventId,
    /// Its descriptor, if it has one.
    pub fd: Option<RawFd>,
    /// Its signal, if it waits for one.
    pub signal: Option<i32>,
    /// What it waits for on its descriptor.
    pub interest: Interest,
    /// Whether it stays pending when it fires.
    pub persist: bool,
    /// Whether it is edge triggered.
    pub edge: bool,
    /// Its priority; lower numbers run earlier.
    pub priority: u8,
    /// Whether it waits for its descriptor or signal.
    pub inserted: bool,
    /// When its timeout is due, if one runs.
    pub deadline: Option<Instant>,
    /// Why it is active; empty if it is not.
    pub active: Ready,
    /// The token it was created with.
    pub token: Token,
}

/// One event.
impl<C> Registry<C> {
    /// What an event is pending or active for (libevent: `event_pending`).
    ///
    /// That is its interest while the base watches its descriptor, [`Ready::SIGNAL`] while the base
    /// watches its signal, [`Ready::TIMEOUT`] while a timeout runs, and the reasons it is active.
    /// Empty if the event was freed.
    #[must_use]
    pub fn pending(&self, id: EventId) -> Ready {
        let Some(index) = self.events.slots.index_of(id) else { return Ready::empty() };
        let slot = &self.events.slots[index];
        let mut ready = slot.ready;
        if slot.state.contains(State::INSERTED) {
            let signal = slot.source().signal().map_or(Ready::empty(), |_| Ready::SIGNAL);
            ready |= signal | slot.interest().into();
        }
        if slot.has_timer() {
            ready |= Ready::TIMEOUT;
        }
        ready
    }

    /// When an event's timeout is due, if one runs.
    #[must_use]
    pub fn deadline(&self, id: EventId) -> Option<Instant> {
        let slots = &self.events.slots;
        let slot = &slots[slots.index_of(id)?];
        slot.has_timer().then(|| self.timers.clock.instant(slot.deadline_ns))
    }

    /// An event's priority (libevent: `event_get_priority`); `None` if it was freed.
    #[must_use]
    pub fn priority(&self, id: EventId) -> Option<u8> {
        let slots = &self.events.slots;
        Some(slots[slots.index_of(id)?].priority)
    }

    /// All facts about an event; `None` if it was freed.
    #[must_use]
    pub fn info(&self, id: EventId) -> Option<EventInfo> {
        self.events.slots.index_of(id).map(|index| self.info_of(index))
    }

    /// The event whose handler runs (libevent: `event_base_get_running_event`); `None` in a posted
    /// closure. The handler may have freed it.
    #[must_use]
    pub fn running(&self) -> Option<EventId> {
        let slots = &self.events.slots;
        let is_internal = |id| slots.index_of(id).is_some_and(|index| slots[index].is_internal());
        self.control.running().filter(|id| !is_internal(*id))
    }

    /// Whether the handler of this event runs now.
    #[cfg(feature = "bufferevent")]
    pub(crate) fn is_running(&self, id: EventId) -> bool {
        self.control.running() == Some(id)
    }

    /// Takes the error behind [`Ready::REFUSED`]: why the event could not be pending. `None` if
    /// there is none, or if it was taken before.
    pub fn take_refusal(&mut self, id: EventId) -> Option<Error> {
        self.events.take_refusal(id)
    }

    fn info_of(&self, index: u32) -> EventInfo {
        let slot = &self.events.slots[index];
        let source = slot.source();
        EventInfo {
            id: slot.id(index),
            fd: source.fd(),
            signal: source.signal(),
            interest: slot.interest(),
            persist: slot.is_persistent(),
            edge: slot.is_edge(),
            priority: slot.priority,
            inserted: slot.state.contains(State::INSERTED),
            deadline: slot.has_timer().then(|| self.timers.clock.instant(slot.deadline_ns)),
            active: slot.ready,
            token: slot.token,
        }
    }
}

/// All events.
impl<C> Registry<C> {
    /// How many events exist, idle ones included and the base's own excluded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.slots.len() - self.events.counts.internal
    }

    /// Whether no event exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of memberships (libevent: `event_base_get_num_events`).
    #[must_use]
    pub fn counts(&self) -> EventCounts {
        self.events.counts.now
    }

    /// The same by kind of membership, in a time that does not depend on the number of events that
    /// wait for descriptors or timeouts.
    #[must_use]
    pub fn memberships(&self) -> MembershipCounts {
        let Events { slots, signals, counts, .. } = &self.events;
        // The base's own events have no timeout.
        let timeouts = self.timers.deadlines.len();
        let signals = signals.iter(slots).filter(|index| !slots[*index].is_internal()).count();
        let EventCounts { added, active, .. } = counts.now;
        MembershipCounts {
            descriptors: added - active - timeouts - signals,
            signals,
            timeouts,
            active,
        }
    }

    /// The maxima of [`counts`](Self::counts) since the base was created or
    /// [`reset_max_counts`](Self::reset_max_counts) was called (libevent:
    /// `event_base_get_max_events`).
    #[must_use]
    pub fn max_counts(&self) -> EventCounts {
        self.events.counts.max()
    }

    /// Resets the maxima to the current counts.
    pub fn reset_max_counts(&mut self) {
        self.events.counts.reset_max();
    }

    /// Visits every pending or active event once, until `visit` breaks; returns what it broke with
    /// (libevent: `event_base_foreach_event`).
    ///
    /// First come the events that wait for descriptors, by number, then those that wait for
    /// signals, then those with only a timeout, then those that are only active.
    pub fn for_each<B>(
        &self,
        mut visit: impl FnMut(EventInfo) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let events = &self.events;
        let slots = &events.slots;
        let inserted = events.fds.iter(slots).chain(events.signals.iter(slots));
        let is_inserted = |index: &u32| slots[*index].state.contains(State::INSERTED);
        let timed = self.timers.deadlines.iter(slots).filter(|index| !is_inserted(index));
        let is_only_active = |index: &u32| !is_inserted(index) && !slots[*index].has_timer();
        let active = events.active.iter(slots).filter(is_only_active);
        let users = |index: &u32| !slots[*index].is_internal();
        inserted
            .chain(timed)
            .chain(active)
            .filter(users)
            .try_for_each(|index| visit(self.info_of(index)))
    }
}

/// The base.
impl<C> Registry<C> {
    /// Counters of what the loop did so far.
    #[must_use]
    pub fn stats(&self) -> LoopStats {
        let mut stats = LoopStats { wait_errors: self.failed_waits.count, ..self.stats };
        self.kernel.add_to(&mut stats);
        stats
    }

    /// The number of priorities (libevent: `event_base_get_npriorities`).
    #[must_use]
    pub fn priorities(&self) -> u8 {
        self.events.active.priorities()
    }

    /// The name of the backend (libevent: `event_base_get_method`).
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.kernel.backend_name()
    }

    /// The features of the backend (libevent: `event_base_get_features`).
    #[must_use]
    pub fn features(&self) -> Features {
        self.kernel.features()
    }

    /// The more preferred backends that the base does not use, and the reason for each.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.kernel.passed_over
    }

    /// A handle by which other threads wake this base.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }
}
