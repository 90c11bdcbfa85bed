//! The registry: everything a handler may do with events.
//!
//! It holds the base's state. It settles an event before it calls the handler, so a handler may
//! add, delete or free any event, its own included. A handler cannot run the loop; only
//! [`EventBase`](crate::EventBase) can.

mod activate;
pub(super) mod dispatch;
pub(super) mod dump;
mod exit;
mod interest;
pub(super) mod query;
pub(super) mod remote;
mod signals;
mod timeouts;
pub(super) mod watcher;

use std::time::Duration;

use crate::backend::Features;
use crate::base::control::LoopControl;
use crate::base::cross_thread::inbox::Jobs;
use crate::base::cross_thread::notify::Notifier;
use crate::base::events::Events;
use crate::base::events::active::ActiveQueues;
use crate::base::events::slot::{Contents, EventFlags, Interval, State};
use crate::base::failed_wait::FailedWaits;
use crate::base::kernel::Kernel;
use crate::base::setup::config::Config;
use crate::base::setup::selection::Selected;
use crate::base::stats::LoopStats;
#[cfg(test)]
use crate::base::stats::MembershipCounts;
use crate::base::timers::Timers;
use crate::base::timers::common_timeout::CommonTimeout;
use crate::error::{Error, Result};
use crate::event::{EventId, EventSpec, Fired, Ready, Source};
use crate::sys::clock::as_ns;
use remote::Job;
use watcher::Watchers;

/// The function that an event calls, with the registry, the context and the reason of the call.
///
/// A handler cannot capture, so nothing needs `Rc` or `RefCell`. It finds its state in the context
/// by [`Fired::token`].
pub type Handler<C> = fn(&mut Registry<C>, &mut C, Fired);

/// Creates, adds, deletes, activates and frees events, and ends the loop. Every handler gets it.
///
/// An event's life: `create` makes it *idle* and `add` makes it *pending*. Readiness, its timeout
/// or [`activate`](Self::activate) makes it *active*. Right before its handler runs it is idle
/// again, or pending if it is persistent. `del` makes it idle and `free` ends it. Both take effect
/// at once, also for an event that is about to run in this turn.
///
/// ```
/// use std::time::Duration;
/// use evshard::{Config, EventBase, EventSpec};
///
/// let mut base = EventBase::<u32>::new(Config::default())?;
/// let tick = base.registry().create(EventSpec::timer().persist(), |registry, ticks, fired| {
///     *ticks += 1;
///     if *ticks == 3 {
///         registry.free(fired.id);
///     }
/// });
/// base.registry().add(tick, Some(Duration::from_millis(1)))?;
/// let mut ticks = 0;
/// base.run(&mut ticks)?; // nothing is pending any more after the third
/// assert_eq!(ticks, 3);
/// # Ok::<(), evshard::Error>(())
/// ```
pub struct Registry<C> {
    /// First, so that the backend is dropped before the descriptors of signals and the notifier.
    pub(super) kernel: Kernel,
    pub(super) events: Events<Handler<C>>,
    pub(super) timers: Timers,
    pub(super) notifier: Notifier,
    /// Closures posted by a [`Remote`](remote::Remote).
    pub(super) jobs: Jobs<Job<C>>,
    pub(super) control: LoopControl,
    pub(super) watchers: Watchers<C>,
    pub(super) failed_waits: FailedWaits,
    /// What the loop counts; [`stats`](Self::stats) adds what the kernel's side counts.
    pub(super) stats: LoopStats,
}

/// Creating and ending events.
impl<C> Registry<C> {
    pub(super) fn new(config: &Config, selected: Selected) -> Result<Self> {
        Ok(Self {
            kernel: Kernel::new(config, selected),
            events: Events::new(config.signals, config.priorities, config.leniency),
            timers: Timers::new(config.clock, config.caches_time),
            notifier: Notifier::new()?,
            jobs: Jobs::new(),
            control: LoopControl::default(),
            watchers: Watchers::new(),
            failed_waits: FailedWaits::new(),
            stats: LoopStats::default(),
        })
    }

    /// Creates an idle event of the middle priority (libevent: `event_new`).
    #[inline(always)]
    pub fn create(&mut self, spec: EventSpec, handler: Handler<C>) -> EventId {
        let middle = self.events.active.priorities() / 2;
        self.create_with(spec, handler, EventFlags::empty(), middle)
    }

    /// Creates an event as [`create`](Self::create) in the slot of an idle one, whose id is stale
    /// from now on.
    #[inline]
    pub(super) fn create_in(
        &mut self,
        index: u32,
        spec: EventSpec,
        handler: Handler<C>,
    ) -> EventId {
        let middle = self.events.active.priorities() / 2;
        let contents = self.contents_of(spec, handler, EventFlags::empty(), middle);
        self.events.replace(index, contents)
    }

    /// Creates an event of the base itself. It has the highest priority and does not keep the loop
    /// alive.
    pub(super) fn create_internal(&mut self, spec: EventSpec, handler: Handler<C>) -> EventId {
        self.events.counts.internal += 1;
        self.create_with(spec, handler, EventFlags::INTERNAL, 0)
    }

    #[inline(always)]
    fn create_with(
        &mut self,
        spec: EventSpec,
        handler: Handler<C>,
        extra: EventFlags,
        priority: u8,
    ) -> EventId {
        let contents = self.contents_of(spec, handler, extra, priority);
        self.events.slots.insert(contents)
    }

    #[inline(always)]
    fn contents_of(
        &self,
        spec: EventSpec,
        handler: Handler<C>,
        extra: EventFlags,
        priority: u8,
    ) -> Contents<Handler<C>> {
        let mut flags = EventFlags::from_bits_retain(spec.interest.bits()) | extra;
        flags.set(EventFlags::PERSIST, spec.persist);
        flags.set(EventFlags::EDGE, spec.edge);
        flags.set(EventFlags::STABLE_FD, spec.stable_fd);
        let source = match spec.source {
            Source::Notify => {
                flags.set(EventFlags::EDGE, self.kernel.features().contains(Features::EDGE));
                Source::Fd(self.notifier.fd())
            }
            source => source,
        };
        Contents { handler, source, flags, priority, token: spec.token }
    }

    /// Creates an event that is freed when it fires, and adds it (libevent: `event_base_once`).
    ///
    /// Until it fires it can be deleted and freed like any other event. With only a timeout of zero
    /// it is active at once, and so keeps its order among events activated by hand.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`Error::NotOnce`] for a persistent event, for a signal, and for
    /// an event that waits for nothing. After an error the event does not exist.
    pub fn once(
        &mut self,
        spec: EventSpec,
        timeout: Option<Duration>,
        handler: Handler<C>,
    ) -> Result<EventId> {
        let is_timer = spec.source == Source::Timer;
        let waits = !spec.interest.is_empty() || (is_timer && timeout.is_some());
        if spec.persist || spec.source.signal().is_some() || !waits {
            return Err(Error::NotOnce);
        }
        let middle = self.events.active.priorities() / 2;
        let id = self.create_with(spec, handler, EventFlags::ONCE, middle);
        if is_timer && timeout == Some(Duration::ZERO) {
            self.activate_index(id.index, Ready::TIMEOUT);
        } else if let Err(error) = self.add(id, timeout) {
            self.free(id);
            return Err(error);
        }
        Ok(id)
    }

    /// Makes an event pending (libevent: `event_add`): it fires when its descriptor is ready or
    /// when `timeout` has passed, whichever comes first.
    ///
    /// For a persistent event the timeout is an interval, which starts again at every firing. For
    /// a pending event only the timeout changes; without a timeout, nothing changes. A timer added
    /// without a timeout stays idle.
    ///
    /// # Errors
    ///
    /// - [`Error::Stale`] if the event was freed.
    /// - [`Error::Fd`] if the kernel refuses the descriptor, a regular file for example. With the
    ///   deferred changelist the refusal comes later, as [`Ready::REFUSED`] to the handler.
    /// - [`Error::Unsupported`] if the backend does not support the event.
    /// - [`Error::Signal`] if the signal cannot be caught.
    /// - [`Error::MixedTrigger`] or [`Error::TooManyEvents`] because of the descriptor's other
    ///   events.
    ///
    /// After an error the event is as it was before.
    #[inline(always)]
    pub fn add(&mut self, id: EventId, timeout: Option<Duration>) -> Result<()> {
        let index = self.add_to_map(id)?;
        if let Some(timeout) = timeout {
            let timeout_ns = as_ns(timeout);
            self.set_timeout(index, timeout_ns, Interval::Ns(timeout_ns));
        }
        Ok(())
    }

    /// Makes an event pending with a common timeout: like [`add`](Self::add) with its duration, but
    /// O(1) for any number of events.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`Error::ForeignTimeout`] if the timeout is another base's.
    #[inline(never)]
    pub fn add_common(&mut self, id: EventId, timeout: CommonTimeout) -> Result<()> {
        let Some(duration_ns) = self.timers.deadlines.duration_ns(timeout.number) else {
            return Err(Error::ForeignTimeout);
        };
        let index = self.add_to_map(id)?;
        self.set_timeout(index, duration_ns, Interval::Common(timeout.number));
        Ok(())
    }

    #[inline(always)]
    fn add_to_map(&mut self, id: EventId) -> Result<u32> {
        let index = self.events.slots.resolve(id)?;
        let slot = &self.events.slots[index];
        if !slot.state.contains(State::INSERTED) && slot.has_source() {
            self.insert_in_map(index)?;
        }
        Ok(index)
    }

    /// Makes an event idle (libevent: `event_del`). It does not run, even if it is already active.
    ///
    /// An idle or freed event stays as it is. As in libevent, a persistent event keeps its interval
    /// until `add` sets another or [`remove_timeout`](Self::remove_timeout) drops it.
    pub fn del(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.control.note_deleted(id);
            self.del_index(index);
        }
    }

    /// Ends an event (libevent: `event_free`); its id is stale from now on. A stale id has no
    /// effect. Its descriptor stays open: close it after this call, not before.
    ///
    /// If the descriptor was duplicated (`dup`, `fork`) and the changelist is deferred, let a turn
    /// pass before you close it, or use the immediate changelist. Otherwise the kernel keeps the
    /// registration until the last copy is closed.
    pub fn free(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.control.note_deleted(id);
            self.free_index(index);
        }
    }

    /// Ends an event as [`free`](Self::free), and promises that its descriptor is closed before the
    /// loop waits again, and has no copy. Close it after this call.
    ///
    /// Where the kernel forgets a closed descriptor by itself (epoll), this costs no system call.
    /// Elsewhere it is the same as `free`. If a descriptor has several events, end each of them
    /// with this call. Another file may take its number at once.
    ///
    /// A copy (`dup`, or `fork` without `exec`) breaks the promise: the kernel goes on watching it,
    /// and each wait ends at once while it is ready. Use `free` and let a turn pass, then.
    ///
    /// ```
    /// # use evshard::{Config, EventBase, EventSpec, Interest};
    /// # let mut base = EventBase::<()>::new(Config::default())?;
    /// let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let readable = EventSpec::io(&socket, Interest::READ).persist();
    /// let id = base.registry().create(readable, |_, _, _| ());
    /// base.registry().add(id, None)?;
    /// base.registry().free_closing(id);
    /// drop(socket);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn free_closing(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.control.note_deleted(id);
            self.remove_from_closing_fd(index);
            self.free_index(index);
        }
    }

    #[inline(always)]
    pub(super) fn del_index(&mut self, index: u32) {
        let state = self.events.slots[index].state;
        if state.intersects(State::QUEUED) {
            self.events.deactivate(index);
        }
        if state.contains(State::INSERTED) {
            self.remove_from_map(index);
        }
        if state.intersects(State::TIMED) {
            self.stop_timer(index);
        }
    }

    pub(super) fn free_index(&mut self, index: u32) {
        self.del_index(index);
        if let Source::Fd(fd) = self.events.slots[index].source() {
            // From now on its owner may close it.
            self.events.fds.forget_disarmed(fd);
            self.kernel.mark_reusable(&self.events.fds, fd);
        }
        self.events.free(index);
    }

    /// Sets an event's priority: lower numbers run earlier (libevent: `event_priority_set`). See
    /// [`Config::priorities`](crate::base::Config::priorities).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the event was freed, [`Error::Priority`] if the base has no such
    /// priority, [`Error::Active`] if the event is active.
    pub fn set_priority(&mut self, id: EventId, priority: u8) -> Result<()> {
        let index = self.events.slots.resolve(id)?;
        let priorities = self.events.active.priorities();
        if priority >= priorities {
            return Err(Error::Priority { priority, priorities });
        }
        if self.events.slots[index].is_active() {
            return Err(Error::Active(id));
        }
        self.events.slots[index].priority = priority;
        Ok(())
    }

    /// Sets the number of priorities, 1 to 255 (libevent: `event_base_priority_init`). 0 counts
    /// as 1. Events keep their priorities.
    ///
    /// # Errors
    ///
    /// [`Error::Active`] if an event is active, [`Error::Priority`] if an event has a priority that
    /// would not exist. Nothing changes then.
    pub fn set_priorities(&mut self, priorities: u8) -> Result<()> {
        let priorities = priorities.max(1);
        let events = &mut self.events;
        if let Some(index) = events.active.iter(&events.slots).next() {
            return Err(Error::Active(events.slots[index].id(index)));
        }
        let of_all = events.slots.indices().map(|index| events.slots[index].priority);
        if let Some(priority) = of_all.max().filter(|highest| *highest >= priorities) {
            return Err(Error::Priority { priority, priorities });
        }
        events.active = ActiveQueues::new(priorities);
        Ok(())
    }

    /// Panics unless all structures agree with each other.
    #[cfg(test)]
    pub(super) fn check(&mut self) {
        let slots = &self.events.slots;
        let users =
            || slots.indices().map(|index| &slots[index]).filter(|slot| !slot.is_internal());
        let inserted = || users().filter(|slot| slot.state.contains(State::INSERTED));
        let signals = inserted().filter(|slot| slot.source().signal().is_some()).count();
        let counted = MembershipCounts {
            descriptors: inserted().count() - signals,
            signals,
            timeouts: users().filter(|slot| slot.has_timer()).count(),
            active: users().filter(|slot| slot.is_active()).count(),
        };
        assert_eq!(self.memberships(), counted);
        self.events.check();
        self.timers.deadlines.check(&mut self.events.slots);
        self.kernel.check(&self.events.fds);
    }
}

impl<C> std::fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("backend", &self.backend_name())
            .field("events", &self.len())
            .field("counts", &self.counts())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
