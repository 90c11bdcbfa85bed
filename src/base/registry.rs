//! The registry: everything a handler may do with events.
//!
//! It holds the base's state and keeps each operation whole: an event is settled before anybody
//! is called, so a handler may add, delete or free any event, its own included. What it cannot do
//! is run the loop; only [`EventBase`](super::EventBase) can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::ActiveQueue;
use super::changelist::{Changelist, ChangelistPolicy};
use super::clock::{Clock, as_ns};
use super::control::Control;
use super::fd_map::FdMap;
use super::notify::Notifier;
use super::remote::Inbox;
use super::slot::{Contents, Flags, SlotTable};
use super::stats::{Counts, LoopStats};
use super::timer::TimerHeap;
use super::{Handler, Remote};
use crate::backend::{Backend, Refusal};
use crate::error::{Error, Result};
use crate::event::{EventId, EventSpec, Ready, Source};

/// What handlers get: creates, adds, deletes, activates and frees events, and ends the loop.
///
/// An event's life: `create` makes it *idle*, `add` *pending*; readiness, its timeout or
/// [`activate`](Self::activate) make it *active*; right before its handler runs it is idle again,
/// or still pending if persistent. `del` makes it idle at any time and `free` ends it; both take
/// effect at once, also for an event that is about to run in this very turn.
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
    pub(super) backend: Box<dyn Backend>,
    pub(super) policy: ChangelistPolicy,
    pub(super) changelist: Changelist,
    pub(super) slots: SlotTable<C>,
    pub(super) fds: FdMap,
    pub(super) timers: TimerHeap,
    pub(super) active: ActiveQueue,
    pub(super) counts: Counts,
    pub(super) refused: Vec<Refusal>,
    pub(super) refusals: Vec<(EventId, Refusal)>,
    pub(super) clock: Clock,
    pub(super) control: Control,
    pub(super) stats: LoopStats,
    pub(super) notifier: Notifier,
    pub(super) inbox: Arc<Inbox<C>>,
}

/// Making and ending events.
impl<C> Registry<C> {
    pub(super) fn new(backend: Box<dyn Backend>, policy: ChangelistPolicy) -> Result<Self> {
        Ok(Self {
            backend,
            policy,
            changelist: Changelist::default(),
            slots: SlotTable::new(),
            fds: FdMap::new(),
            timers: TimerHeap::default(),
            active: ActiveQueue::new(),
            counts: Counts::default(),
            refused: Vec::new(),
            refusals: Vec::new(),
            clock: Clock::new(),
            control: Control::default(),
            stats: LoopStats::default(),
            notifier: Notifier::new()?,
            inbox: Arc::new(Inbox::new()),
        })
    }

    /// Makes an idle event (libevent: `event_new`).
    pub fn create(&mut self, spec: EventSpec, handler: Handler<C>) -> EventId {
        self.create_with(spec, handler, Flags::empty())
    }

    /// Makes an event of the base itself, which keeps no loop alive.
    pub(super) fn create_internal(&mut self, spec: EventSpec, handler: Handler<C>) -> EventId {
        self.counts.internal += 1;
        self.create_with(spec, handler, Flags::INTERNAL)
    }

    fn create_with(&mut self, spec: EventSpec, handler: Handler<C>, mut flags: Flags) -> EventId {
        flags.set(Flags::PERSIST, spec.persist);
        flags.set(Flags::EDGE, spec.edge);
        flags.set(Flags::STABLE_FD, spec.stable_fd);
        let fd = match spec.source {
            Source::Timer => None,
            Source::Fd(fd) => Some(fd),
            Source::Notify => Some(self.notifier.fd()),
        };
        let (interest, token) = (spec.interest, spec.token);
        self.slots.insert(Contents { handler, fd, interest, token, flags })
    }

    /// Makes an event pending (libevent: `event_add`): it fires when its descriptor is ready or
    /// when `timeout` has passed, whichever comes first.
    ///
    /// For a persistent event the timeout is an interval, counted anew from every firing. On
    /// a pending event only the timeout changes; without one, nothing does. A timer added without
    /// a timeout stays idle.
    ///
    /// # Errors
    ///
    /// - [`Error::Stale`] if the event was freed.
    /// - [`Error::Fd`] if the kernel refuses the descriptor, a regular file for example. With the
    ///   deferred changelist its refusal comes later, as [`Ready::REFUSED`] to the handler.
    /// - [`Error::MixedTrigger`] or [`Error::TooManyEvents`] for the descriptor's other events.
    ///
    /// After an error the event is as it was before.
    pub fn add(&mut self, id: EventId, timeout: Option<Duration>) -> Result<()> {
        let index = self.slots.index_of(id).ok_or(Error::Stale(id))?;
        if !self.slots[index].flags.contains(Flags::INSERTED) {
            self.insert_on_fd(index)?;
        }
        if let Some(timeout) = timeout {
            self.set_timeout(index, as_ns(timeout));
        }
        Ok(())
    }

    /// Makes an event idle (libevent: `event_del`). It will not run again, not even if it is
    /// active already. Nothing happens to an idle or freed one. As in libevent, a persistent event
    /// keeps its interval until `add` gives another or [`remove_timeout`](Self::remove_timeout)
    /// drops it.
    pub fn del(&mut self, id: EventId) {
        if let Some(index) = self.slots.index_of(id) {
            self.del_index(index);
        }
    }

    /// Ends an event (libevent: `event_free`); its id is stale from now on. Nothing happens if it
    /// is already. Its descriptor stays open: close it after this, not before.
    ///
    /// A descriptor that was duplicated (`dup`, `fork`) stays registered in the kernel until the
    /// last copy is closed, if the changelist is deferred and this copy is closed before the next
    /// wait. Let a turn pass between, or use the immediate changelist.
    pub fn free(&mut self, id: EventId) {
        if let Some(index) = self.slots.index_of(id) {
            self.del_index(index);
            if let Some(fd) = self.slots[index].fd() {
                self.changelist.distrust(self.fds.change_place(fd));
            }
            self.slots.remove(index);
            self.refusals.retain(|(refused, _)| *refused != id);
        }
    }

    /// Drops an event's timeout and interval, and leaves the rest of it as it is (libevent:
    /// `event_remove_timer`).
    pub fn remove_timeout(&mut self, id: EventId) {
        if let Some(index) = self.slots.index_of(id) {
            self.slots[index].interval_ns = 0;
            self.stop_timer(index);
        }
    }

    /// Makes an event active by hand, pending or not (libevent: `event_active`). Its handler is
    /// told `ready`, together with what else comes true before it runs.
    ///
    /// A handler that activates its own event runs again in the same pass, without end if it
    /// always does. Activating for no reason (an empty `ready`) does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the event was freed.
    pub fn activate(&mut self, id: EventId, ready: Ready) -> Result<()> {
        let index = self.slots.index_of(id).ok_or(Error::Stale(id))?;
        self.activate_index(index, ready);
        Ok(())
    }
}

/// Asking about events and the base.
impl<C> Registry<C> {
    /// What an event is pending or active for (libevent: `event_pending`): its interest while
    /// the descriptor is watched, [`Ready::TIMEOUT`] while a timeout runs, and why it is active.
    #[must_use]
    pub fn pending(&self, id: EventId) -> Ready {
        let Some(index) = self.slots.index_of(id) else { return Ready::empty() };
        let slot = &self.slots[index];
        let mut ready = slot.ready;
        if slot.flags.contains(Flags::INSERTED) {
            ready |= slot.interest.into();
        }
        if slot.has_timer() {
            ready |= Ready::TIMEOUT;
        }
        ready
    }

    /// When an event's timeout is due.
    #[must_use]
    pub fn deadline(&self, id: EventId) -> Option<Instant> {
        let slot = &self.slots[self.slots.index_of(id)?];
        slot.has_timer().then(|| self.clock.instant(slot.deadline_ns))
    }

    /// Why the kernel refused an event's descriptor, once, to a handler told
    /// [`Ready::REFUSED`].
    pub fn take_refusal(&mut self, id: EventId) -> Option<Error> {
        let at = self.refusals.iter().position(|(refused, _)| *refused == id)?;
        let (_, refusal) = self.refusals.swap_remove(at);
        Some(refusal.into())
    }

    /// Now: inside the loop one moment for all handlers of a turn (libevent:
    /// `event_base_gettimeofday_cached`, on the monotonic clock).
    pub fn now(&mut self) -> Instant {
        let now_ns = self.clock.now_ns();
        self.clock.instant(now_ns)
    }

    /// How many events exist, idle ones included and the base's own excluded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.counts.internal
    }

    /// Whether no event exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the loop did so far.
    #[must_use]
    pub fn stats(&self) -> LoopStats {
        self.stats
    }

    /// The name of the backend that waits (libevent: `event_base_get_method`).
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// A handle that wakes this base from other threads.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// A handle that runs closures here from other threads.
    #[must_use]
    pub fn remote(&self) -> Remote<C> {
        Remote::new(self.inbox.clone(), self.notifier.clone())
    }
}

/// Ending the loop.
impl<C> Registry<C> {
    /// Leaves the loop after this pass over the active events (libevent: `event_base_loopexit`
    /// without a delay). Before the loop runs, makes it leave before its first wait.
    pub fn loop_exit(&mut self) {
        self.control.request_exit();
    }

    /// Leaves the loop after the running handler (libevent: `event_base_loopbreak`); events that
    /// are active stay so and run first when the loop is entered again.
    pub fn loop_break(&mut self) {
        self.control.request_break();
    }

    /// Whether the last loop ended by [`loop_exit`](Self::loop_exit).
    #[must_use]
    pub fn got_exit(&self) -> bool {
        self.control.got_exit()
    }

    /// Whether the last loop ended by [`loop_break`](Self::loop_break).
    #[must_use]
    pub fn got_break(&self) -> bool {
        self.control.got_break()
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
