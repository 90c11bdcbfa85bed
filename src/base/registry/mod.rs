//! The registry: everything a handler may do with events.
//!
//! It holds the base's state. It settles an event before it calls the handler, so a handler may
//! add, delete or free any event, its own included. A handler cannot run the loop; only
//! [`EventBase`](crate::EventBase) can.

mod activate;
pub(super) mod dump;
mod exit;
mod pending;
pub(super) mod query;
pub(super) mod remote;
mod signals;
pub(super) mod watcher;

use std::time::Duration;

use crate::backend::{Backend, BackendKind, ChangelistFlush, Features, RefusedChange};
use crate::base::changelist::{Changelist, ChangelistPolicy};
use crate::base::control::LoopControl;
use crate::base::cross_thread::inbox::Jobs;
use crate::base::cross_thread::notify::Notifier;
use crate::base::events::active::ActiveQueues;
use crate::base::events::fd_map::FdMap;
use crate::base::events::signal::Signals;
use crate::base::events::slot::{Contents, EventFlags, Interval, SlotTable, State};
use crate::base::limit::DispatchLimit;
use crate::base::setup::config::Config;
use crate::base::setup::selection::{PassedOver, Selected};
use crate::base::stats::{Counts, LoopStats};
use crate::base::timers::clock::{Clock, as_ns};
use crate::base::timers::common_timeout::CommonTimeout;
use crate::base::timers::deadlines::Deadlines;
use crate::error::{Error, Result};
use crate::event::{EventId, EventSpec, Fired, Ready, Source};
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
    pub(in crate::base) kind: BackendKind,
    pub(in crate::base) flush: ChangelistFlush,
    pub(in crate::base) backend: Box<dyn Backend>,
    pub(in crate::base) passed_over: Vec<PassedOver>,
    pub(in crate::base) policy: ChangelistPolicy,
    pub(in crate::base) changelist: Changelist,
    pub(in crate::base) slots: SlotTable<Handler<C>>,
    pub(in crate::base) fds: FdMap,
    pub(in crate::base) signals: Signals,
    pub(in crate::base) deadlines: Deadlines,
    pub(in crate::base) active: ActiveQueues,
    pub(in crate::base) watchers: Watchers<C>,
    pub(in crate::base) limit: DispatchLimit,
    /// How many events were scheduled in this turn.
    pub(in crate::base) scheduled: u32,
    pub(in crate::base) counts: Counts,
    pub(in crate::base) refused: Vec<RefusedChange>,
    pub(in crate::base) refusals: Vec<(EventId, Error)>,
    pub(in crate::base) clock: Clock,
    pub(in crate::base) control: LoopControl,
    pub(in crate::base) stats: LoopStats,
    pub(in crate::base) notifier: Notifier,
    /// Closures posted by [`Remote`](remote::Remote).
    pub(in crate::base) jobs: Jobs<Job<C>>,
}

/// Creating and ending events.
impl<C> Registry<C> {
    pub(in crate::base) fn new(config: &Config, selected: Selected) -> Result<Self> {
        Ok(Self {
            kind: selected.kind,
            flush: config.flush,
            backend: selected.backend,
            passed_over: selected.passed_over,
            policy: config.changelist,
            changelist: Changelist::default(),
            slots: SlotTable::new(),
            fds: FdMap::new(),
            signals: Signals::new(config.signals),
            deadlines: Deadlines::default(),
            active: ActiveQueues::new(config.priorities),
            watchers: Watchers::new(),
            limit: config.limit,
            scheduled: 0,
            counts: Counts::default(),
            refused: Vec::new(),
            refusals: Vec::new(),
            clock: Clock::new(config.clock, config.caches_time),
            control: LoopControl::default(),
            stats: LoopStats::default(),
            notifier: Notifier::new()?,
            jobs: Jobs::new(),
        })
    }

    /// Creates an idle event of the middle priority (libevent: `event_new`).
    pub fn create(&mut self, spec: EventSpec, handler: Handler<C>) -> EventId {
        let middle = self.active.priorities() / 2;
        self.create_with(spec, handler, EventFlags::empty(), middle)
    }

    /// Creates an event of the base itself. It has the highest priority and does not keep the loop
    /// alive.
    pub(in crate::base) fn create_internal(
        &mut self,
        spec: EventSpec,
        handler: Handler<C>,
    ) -> EventId {
        self.counts.internal += 1;
        self.create_with(spec, handler, EventFlags::INTERNAL, 0)
    }

    fn create_with(
        &mut self,
        spec: EventSpec,
        handler: Handler<C>,
        extra: EventFlags,
        priority: u8,
    ) -> EventId {
        let mut flags = EventFlags::from_bits_retain(spec.interest.bits()) | extra;
        flags.set(EventFlags::PERSIST, spec.persist);
        flags.set(EventFlags::EDGE, spec.edge);
        flags.set(EventFlags::STABLE_FD, spec.stable_fd);
        let source = match spec.source {
            Source::Notify => {
                flags.set(EventFlags::EDGE, self.backend.features().contains(Features::EDGE));
                Source::Fd(self.notifier.fd())
            }
            source => source,
        };
        self.slots.insert(Contents { handler, source, flags, priority, token: spec.token })
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
        let middle = self.active.priorities() / 2;
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
    pub fn add_common(&mut self, id: EventId, timeout: CommonTimeout) -> Result<()> {
        let Some(duration_ns) = self.deadlines.duration_ns(timeout.number) else {
            return Err(Error::ForeignTimeout);
        };
        let index = self.add_to_map(id)?;
        self.set_timeout(index, duration_ns, Interval::Common(timeout.number));
        Ok(())
    }

    fn add_to_map(&mut self, id: EventId) -> Result<u32> {
        let index = self.slots.resolve(id)?;
        if !self.slots[index].state.contains(State::INSERTED) {
            self.insert(index)?;
        }
        Ok(index)
    }

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
        let number = self.deadlines.list_for(as_ns(duration));
        number.map(|number| CommonTimeout { number }).ok_or(Error::TooManyTimeouts)
    }

    /// Makes an event idle (libevent: `event_del`). It does not run, even if it is already active.
    ///
    /// An idle or freed event stays as it is. As in libevent, a persistent event keeps its interval
    /// until `add` sets another or [`remove_timeout`](Self::remove_timeout) drops it.
    pub fn del(&mut self, id: EventId) {
        if let Some(index) = self.slots.index_of(id) {
            self.control.deleted(id);
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
        if let Some(index) = self.slots.index_of(id) {
            self.control.deleted(id);
            self.free_index(index);
        }
    }

    /// Drops an event's timeout and interval and changes nothing else (libevent:
    /// `event_remove_timer`).
    pub fn remove_timeout(&mut self, id: EventId) {
        if let Some(index) = self.slots.index_of(id) {
            self.stop_timer(index);
            self.slots[index].set_interval(Interval::None);
        }
    }

    /// Sets an event's priority: lower numbers run earlier (libevent: `event_priority_set`). See
    /// [`Config::priorities`](crate::base::Config::priorities).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the event was freed, [`Error::Priority`] if the base has no such
    /// priority, [`Error::Active`] if the event is active.
    pub fn set_priority(&mut self, id: EventId, priority: u8) -> Result<()> {
        let index = self.slots.resolve(id)?;
        let priorities = self.active.priorities();
        if priority >= priorities {
            return Err(Error::Priority { priority, priorities });
        }
        if self.slots[index].is_active() {
            return Err(Error::Active(id));
        }
        self.slots[index].priority = priority;
        Ok(())
    }
}

impl<C> std::fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("backend", &self.backend.name())
            .field("events", &self.len())
            .field("counts", &self.counts)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
