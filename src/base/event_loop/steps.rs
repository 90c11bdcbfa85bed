//! The steps of a loop, for a driver that must not hold the base while it waits or calls.
//!
//! [`EventBase::run`] takes these steps itself. A driver of its own shares the base with other
//! threads under a lock, and gives the lock up in two places: while it waits, and while it calls
//! a function of its user. No step leaves a reference to the base behind. A wait owns the backend,
//! a call is a copy.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//! use evshard::{Config, EventBase, EventSpec, Fired, LoopEnd, LoopFlags, Registry, Token};
//!
//! /// The handler of all events. The driver knows its functions by their tokens.
//! fn unused(_: &mut Registry<()>, _: &mut (), _: Fired) {}
//!
//! fn drive(base: &Mutex<EventBase<()>>, on_event: impl Fn(Fired)) -> evshard::Result<LoopEnd> {
//!     let lock = || base.lock().unwrap();
//!     let mut run = lock().begin_loop(LoopFlags::empty());
//!     let end = loop {
//!         if let Some(end) = lock().begin_turn(&mut run) {
//!             break Ok(end);
//!         }
//!         let mut wait = lock().begin_wait(&run);
//!         wait.run(); // without the lock
//!         if let Err(error) = lock().end_wait(wait) {
//!             break Err(error);
//!         }
//!         lock().begin_pass(&mut run);
//!         while let Some(call) = { let next = lock().begin_dispatch(&mut run); next } {
//!             if call.is_internal() {
//!                 lock().call(call, &mut ()); // the base's own handlers get the base
//!             } else {
//!                 on_event(call.fired()); // without the lock
//!                 while { let again = lock().calls_again(); again } {
//!                     on_event(call.fired());
//!                 }
//!             }
//!             lock().end_dispatch(&mut run);
//!         }
//!         if let Some(end) = lock().end_turn(&mut run) {
//!             break Ok(end);
//!         }
//!     };
//!     lock().end_loop();
//!     end
//! }
//!
//! let base = Arc::new(Mutex::new(EventBase::new(Config::default())?));
//! let add = |token, timeout| {
//!     // `act` ends the wait of the driver, if it must know.
//!     base.lock().unwrap().act(|registry| {
//!         let id = registry.create(EventSpec::timer().token(Token(token)), unused);
//!         registry.add(id, Some(timeout))
//!     })
//! };
//! add(1, Duration::from_secs(3600))?;
//! std::thread::scope(|scope| {
//!     scope.spawn(|| add(2, Duration::from_millis(1))); // perhaps while the driver waits
//!     drive(&base, |fired| {
//!         if fired.token == Token(2) {
//!             base.lock().unwrap().act(Registry::loop_break);
//!         }
//!     })
//! })?;
//! # Ok::<(), evshard::Error>(())
//! ```
//!
//! # While the backend is lent
//!
//! Between `begin_wait` and `end_wait` other threads may do everything that a handler may. Changes
//! of interest are recorded and applied when the backend is back, whatever the policy is. So `add`
//! does not return a refusal of the kernel then: the event's handler gets [`Ready::REFUSED`].
//!
//! [`EventBase::act`] ends the wait if the loop must know of what was done: a change of interest,
//! an active event, an earlier timeout, the end of the last event, the end of the loop. A notify
//! event of the user fires, too, when a wait ends so.
//!
//! A report may be older than a change that was made during the wait. Then an event that was added
//! meanwhile, perhaps for another file under the same number, gets a report for the file before it.
//! libevent's loop does the same.
//!
//! # What a driver must do itself
//!
//! - Take the steps in the order above, from one thread at a time. `end_wait` must get the wait of
//!   this base. Without it the base has no backend, and `begin_wait` panics.
//! - Watchers are not called.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::{EventBase, LoopEnd, LoopFlags};
use crate::backend::{FdReady, Features, Reported, is_transient};
use crate::base::cross_thread::notify::Request;
use crate::base::events::slot::Interval;
pub use crate::base::kernel::Wait;
use crate::base::limit::Budget;
pub use crate::base::registry::dispatch::Call;
use crate::base::registry::{Handler, Registry};
use crate::error::{Error, Result};
use crate::event::{EventId, EventSpec, Ready};

/// How often a turn asks the kernel again what is ready. By then epoll's event array is at its
/// maximum, and the kernel has reported more descriptors than most processes may open.
const ASKS_MAX: usize = 16;

/// A timeout that is overdue by this much is late because the process was stopped or suspended, or
/// because handlers took long. It is longer than the delays of a busy machine.
const LATE: Duration = Duration::from_millis(10);

/// The state of one run of a loop, which its driver keeps between the steps.
#[derive(Debug)]
pub struct Run {
    flags: LoopFlags,
    /// Whether events were active when the pass of this turn began.
    had_active: bool,
    /// Handlers of the user's events that ran in this turn.
    calls: u64,
    /// The priority whose events run, once the pass has begun with one.
    priority: u8,
    has_begun: bool,
    /// Whether more events of this priority may run in this turn.
    is_open: bool,
    budget: Budget,
}

impl Run {
    pub(in crate::base) fn new(flags: LoopFlags) -> Self {
        let budget = Budget::UNLIMITED;
        let (calls, priority) = (0, 0);
        let (had_active, has_begun, is_open) = (false, false, false);
        Self { flags, had_active, calls, priority, has_begun, is_open, budget }
    }

    pub(super) fn flags(&self) -> LoopFlags {
        self.flags
    }

    /// How many handlers of the user's events ran in the last turn.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }
}

/// The steps of a loop; see the documentation of [`steps`](self).
#[doc(hidden)]
impl<C> EventBase<C> {
    /// Begins a loop (libevent: the beginning of `event_base_loop`).
    pub fn begin_loop(&mut self, flags: LoopFlags) -> Run {
        let registry = &mut self.registry;
        registry.control.enter_loop();
        registry.events.signals.claim();
        if registry.notifier.has_requests() {
            registry.notifier.take_request(Request::Break);
        }
        if registry.jobs.has_received() {
            // A posted closure panicked; the closures behind it are still to run.
            registry.activate_notified();
        }
        Run::new(flags)
    }

    /// Ends a loop, however it ended.
    pub fn end_loop(&mut self) {
        self.registry.control.leave_loop();
        self.registry.timers.clock.forget(false);
    }

    /// Begins a turn; returns why the loop ends, if it does.
    #[inline]
    pub fn begin_turn(&mut self, run: &mut Run) -> Option<LoopEnd> {
        run.calls = 0;
        self.registry.control.begin_turn();
        if self.registry.should_stop() {
            return Some(LoopEnd::Stopped);
        }
        let may_end = !run.flags.contains(LoopFlags::NO_EXIT_ON_EMPTY);
        (may_end && self.registry.has_nothing_to_do()).then_some(LoopEnd::Empty)
    }

    /// Lends the backend to a wait that ends at the next timeout at the latest.
    ///
    /// # Panics
    ///
    /// If the wait before it was not returned to [`end_wait`](Self::end_wait).
    #[inline]
    pub fn begin_wait(&mut self, run: &Run) -> Box<Wait> {
        let registry = &mut self.registry;
        registry.events.active.promote_later(&mut registry.events.slots);
        let mut timeout = registry.time_to_wait(run.flags);
        // After a notification since the last wait, this one must not block.
        if timeout != Some(Duration::ZERO) && !registry.notifier.wake_word().fall_asleep() {
            timeout = Some(Duration::ZERO);
        }
        // Meanwhile, now is not the moment of this turn.
        registry.timers.clock.forget(false);
        let wait = registry.kernel.lend(&mut registry.events.fds, timeout);
        let mut wait = wait.expect("each wait is returned by end_wait before the next one");
        if let Some(pause) = registry.failed_waits.take_pause() {
            wait.pause_first(pause);
        }
        wait
    }

    /// Takes the backend back, and makes the reported events active.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the backend cannot wait. The loop then ends; the base stays usable.
    #[inline]
    pub fn end_wait(&mut self, mut wait: Box<Wait>) -> Result<()> {
        let registry = &mut self.registry;
        registry.report_refusals_of(&mut wait);
        let notified = registry.notifier.wake_word().wake_up();
        registry.timers.clock.forget(true);
        registry.complete(&mut wait);
        if notified {
            registry.stats.notified_waits += 1;
            registry.activate_notified();
        }
        registry.activate_all_reported(&mut wait.ready);
        let failure = match wait.result.is_err() {
            true => std::mem::replace(&mut wait.result, Ok(Reported::All)).err(),
            false => None,
        };
        registry.kernel.take_back(wait);
        if registry.kernel.flush_late(&mut registry.events.fds) {
            registry.report_refusals();
        }
        match failure {
            None => {
                registry.stats.waits += 1;
                registry.failed_waits.end();
            }
            Some(error) if is_transient(&error) => registry.failed_waits.count(&error),
            Some(error) => return Err(Error::os("wait for events")(error)),
        }
        Ok(())
    }

    /// Activates what is due, and begins the pass over the active events.
    #[inline]
    pub fn begin_pass(&mut self, run: &mut Run) {
        self.registry.activate_expired();
        run.had_active = self.registry.has_active();
        (run.has_begun, run.is_open) = (false, false);
    }

    /// The next call of this turn. Its event is settled: the call may free it.
    ///
    /// If only the base's own events ran, the next priority follows. Otherwise less urgent events
    /// run in the next turn, after the loop has polled descriptors and timers again.
    #[inline]
    pub fn begin_dispatch(&mut self, run: &mut Run) -> Option<Call<C>> {
        loop {
            if let Some(call) = self.begin_dispatch_of_queue(run) {
                return Some(call);
            }
            self.begin_queue(run)?;
        }
    }

    /// The next call of the priority whose events run.
    #[inline]
    pub(super) fn begin_dispatch_of_queue(&mut self, run: &mut Run) -> Option<Call<C>> {
        if !run.is_open {
            return None;
        }
        let call = self.registry.begin_dispatch(run.priority)?;
        run.calls += call.counted();
        Some(call)
    }

    /// Begins with the events of the next priority; `None` if they wait for the next turn.
    #[inline]
    pub(super) fn begin_queue(&mut self, run: &mut Run) -> Option<()> {
        let registry = &mut self.registry;
        if run.calls > 0 || (run.has_begun && registry.control.ends_pass()) {
            return None;
        }
        let from = if run.has_begun { run.priority.checked_add(1)? } else { 0 };
        let priority = registry.events.active.first_priority(from)?;
        registry.control.begin_queue(priority);
        let clock = &mut registry.timers.clock;
        run.budget = self.limit.budget(priority, || {
            clock.refresh();
            clock.now_ns()
        });
        (run.priority, run.has_begun, run.is_open) = (priority, true, true);
        Some(())
    }

    /// Calls the handler of the event, with the base and a context.
    #[inline]
    pub fn call(&mut self, call: Call<C>, cx: &mut C) {
        call.run(&mut self.registry, cx);
    }

    /// Whether to make the call again that just returned: a signal was delivered several times.
    #[inline]
    pub fn calls_again(&mut self) -> bool {
        self.registry.control.calls_again()
    }

    /// When the timeout was due that is a reason of the last call that began, from its arguments.
    /// `None` if none is.
    ///
    /// If the event was activated by hand for this reason, the time says nothing.
    pub fn due(&self, id: EventId, ready: Ready) -> Option<Instant> {
        if !ready.contains(Ready::TIMEOUT) {
            return None;
        }
        let Registry { events, timers, .. } = &self.registry;
        let slot = &events.slots[events.slots.index_of(id)?];
        let was_rearmed = slot.is_persistent() && slot.has_interval();
        let due_ns = if was_rearmed { timers.expired_ns } else { slot.deadline_ns };
        Some(timers.clock.instant(due_ns))
    }

    /// Ends a call and all its repetitions.
    #[inline]
    pub fn end_dispatch(&mut self, run: &mut Run) {
        run.is_open = !self.registry.pass_ends(&run.budget, run.calls);
    }

    /// Ends a turn; returns why the loop ends, if it does.
    #[inline]
    pub fn end_turn(&mut self, run: &mut Run) -> Option<LoopEnd> {
        let registry = &mut self.registry;
        registry.control.end_handlers();
        registry.stats.calls += run.calls;
        if registry.should_stop() {
            return Some(LoopEnd::Stopped);
        }
        let has_run = run.calls > 0 && !registry.has_active();
        let is_done = (run.flags.contains(LoopFlags::ONCE) && has_run)
            || (run.flags.contains(LoopFlags::NONBLOCK) && !run.had_active);
        is_done.then_some(LoopEnd::Done)
    }

    /// Does with the base's events what a handler may do, from any thread that holds the lock. If
    /// the backend is lent and the loop must know of it, ends the wait.
    pub fn act<R>(&mut self, action: impl FnOnce(&mut Registry<C>) -> R) -> R {
        action(&mut self.acting())
    }

    /// The same, for actions until the result is dropped.
    #[inline]
    pub fn acting(&mut self) -> Acting<'_, C> {
        let registry = &mut self.registry;
        let before = registry.kernel.is_lent().then(|| registry.outlook());
        Acting { registry, before }
    }
}

/// A base's registry, for [`EventBase::acting`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Acting<'a, C> {
    registry: &'a mut Registry<C>,
    /// While the backend is lent.
    before: Option<Outlook>,
}

impl<C> Deref for Acting<'_, C> {
    type Target = Registry<C>;

    #[inline]
    fn deref(&self) -> &Registry<C> {
        self.registry
    }
}

impl<C> DerefMut for Acting<'_, C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Registry<C> {
        self.registry
    }
}

impl<C> Drop for Acting<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.registry.notify_of_change(before);
        }
    }
}

/// What a wait that began was to wait for.
#[derive(Debug)]
struct Outlook {
    is_idle: bool,
    next_ns: u64,
}

/// Slots that last as long as their events are pending or active.
#[doc(hidden)]
impl<C> Registry<C> {
    /// Ends an event as [`free`](Self::free), whose owner goes on with its descriptor and will
    /// create another event for it. What is known of the descriptor stays known: that a report has
    /// disarmed it, and whether it stays open.
    #[inline]
    pub fn give_back(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.control.note_deleted(id);
            self.del_index(index);
            self.events.free(index);
        }
    }

    /// Makes an event as idle as a new one: as [`del`](Self::del), and it has no interval any more.
    #[inline(always)]
    pub fn reset(&mut self, id: EventId) {
        if let Some(index) = self.events.slots.index_of(id) {
            self.control.note_deleted(id);
            self.del_index(index);
            self.events.slots[index].set_interval(Interval::None);
        }
    }

    /// Gives an event back, and creates another one in its slot.
    #[inline]
    pub fn replace(&mut self, id: EventId, spec: EventSpec, handler: Handler<C>) -> EventId {
        match self.events.slots.index_of(id) {
            Some(index) => {
                self.control.note_deleted(id);
                self.del_index(index);
                self.create_in(index, spec, handler)
            }
            None => self.create(spec, handler),
        }
    }
}

/// The state of the loop.
impl<C> Registry<C> {
    /// Whether no event is pending or active, and no posted closure could change that. (In libevent
    /// the call of another thread has taken effect when it returns.)
    pub(super) fn has_nothing_to_do(&self) -> bool {
        self.events.counts.is_idle() && self.jobs.is_empty()
    }

    #[cold]
    fn outlook(&mut self) -> Outlook {
        Outlook { is_idle: self.has_nothing_to_do(), next_ns: self.next_deadline_ns() }
    }

    /// Ends the wait that has the backend, if the loop must know of what was done since `before`.
    #[cold]
    fn notify_of_change(&mut self, before: Outlook) {
        let now = self.outlook();
        let must_know = self.kernel.has_changes()
            || self.has_active()
            || self.control.should_stop()
            || now.next_ns < before.next_ns
            || (now.is_idle && !before.is_idle);
        if must_know {
            self.notifier.notify();
        }
    }

    /// Whether a handler or another thread has requested the end of the loop.
    pub(super) fn should_stop(&mut self) -> bool {
        self.take_requests();
        self.control.should_stop()
    }

    fn take_requests(&mut self) {
        if self.notifier.has_requests() {
            if self.notifier.take_request(Request::Exit) {
                self.control.request_exit();
            }
            if self.notifier.take_request(Request::Break) {
                self.control.request_break();
            }
        }
    }

    /// Asks the kernel again what is ready, without blocking, as long as its answer is not complete
    /// and so a timeout may seem to have passed for an event that is ready:
    ///
    /// - A wait failed, or a signal interrupted it, before it looked.
    /// - More may be ready than one wait reports.
    /// - A timeout is late. The process may have been stopped since the kernel's answer.
    ///
    /// The turn's time is read before the kernel is asked, so no timeout counts that passed later.
    #[inline]
    fn complete(&mut self, wait: &mut Wait) {
        let mut asked = 0;
        while asked < ASKS_MAX && self.is_incomplete(wait, asked) {
            self.ask_again(wait);
            asked += 1;
        }
    }

    #[inline]
    fn is_incomplete(&mut self, wait: &Wait, asked: usize) -> bool {
        let mut overdue = || self.timers.overdue(&mut self.events.slots);
        match &wait.result {
            Ok(Reported::All) => asked == 0 && overdue().is_some_and(|overdue| overdue >= LATE),
            Ok(Reported::Part) => overdue().is_some(),
            Err(error) => asked == 0 && is_transient(error),
        }
    }

    #[cold]
    fn ask_again(&mut self, wait: &mut Wait) {
        self.stats.repeated_waits += 1;
        self.kernel.fill(&mut self.events.fds, wait, Some(Duration::ZERO));
        wait.run();
        self.report_refusals_of(wait);
    }

    /// Makes the events active that a wait reported.
    #[inline]
    fn activate_all_reported(&mut self, ready: &mut Vec<FdReady>) {
        self.stats.events += ready.len() as u64;
        // Without edges, the eventfd is reported until it is read.
        let has_edges = self.kernel.features().contains(Features::EDGE);
        if !has_edges && ready.iter().any(|ready| ready.fd == self.notifier.fd()) {
            self.notifier.drain();
        }
        for fd_ready in &*ready {
            self.activate_reported(*fd_ready);
        }
        ready.clear();
    }

    /// How long the next wait may last; `None` is for ever.
    pub(super) fn time_to_wait(&mut self, flags: LoopFlags) -> Option<Duration> {
        let must_not_block =
            flags.contains(LoopFlags::NONBLOCK) || self.has_active() || self.control.should_stop();
        if must_not_block {
            Some(Duration::ZERO)
        } else {
            self.timers.time_to_next(&mut self.events.slots)
        }
    }

    /// A time before which no timeout is due; `u64::MAX` if none runs.
    fn next_deadline_ns(&mut self) -> u64 {
        self.timers.deadlines.next_ns(&mut self.events.slots, 0).unwrap_or(u64::MAX)
    }

    /// Whether the remaining events of a queue wait for the next turn.
    fn pass_ends(&mut self, budget: &Budget, calls: u64) -> bool {
        self.take_requests();
        if self.control.ends_pass() || !budget.allows_another(calls) {
            return true;
        }
        // If no handler of the user has run, ending the pass would only let less urgent ones run
        // first.
        budget.end_ns.is_some_and(|end_ns| {
            calls > 0 && {
                self.timers.clock.refresh();
                self.timers.clock.now_ns() >= end_ns
            }
        })
    }
}
