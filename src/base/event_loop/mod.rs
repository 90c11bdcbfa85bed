//! The event loop: waits, makes the reported events active, and calls their handlers in the order
//! of their priorities.

use std::io;
use std::time::Duration;

use super::cross_thread::notify::Request;
use super::limit::{Budget, DispatchLimit};
use super::registry::Registry;
use super::registry::remote::{Remote, run_jobs};
use super::setup::config::Config;
use super::setup::selection::{self, Selected};
use crate::backend::{FdReady, Features, Reported, is_transient};
use crate::error::{Error, Result};
use crate::event::EventSpec;

/// How often a turn asks the kernel again what is ready. By then epoll's event array is at its
/// maximum, and the kernel has reported more descriptors than most processes may open.
const ASKS_MAX: usize = 16;

/// A timeout that is overdue by this much is late because the process was stopped or suspended, or
/// because handlers took long. It is longer than the delays of a busy machine.
const LATE: Duration = Duration::from_millis(10);

bitflags::bitflags! {
    /// How a loop runs (libevent: the flags of `event_base_loop`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct LoopFlags: u8 {
        /// Wait until at least one handler ran, then return (`EVLOOP_ONCE`).
        const ONCE = 0x01;
        /// Never wait: run ready events until none is left, then return (`EVLOOP_NONBLOCK`).
        const NONBLOCK = 0x02;
        /// Wait also when no event is pending; another thread may add one
        /// (`EVLOOP_NO_EXIT_ON_EMPTY`).
        const NO_EXIT_ON_EMPTY = 0x04;
    }
}

/// Why a loop returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopEnd {
    /// `loop_exit` or `loop_break` was called (libevent's 0).
    Stopped,
    /// The loop has done what [`LoopFlags::ONCE`] or [`LoopFlags::NONBLOCK`] requests (libevent's
    /// 0).
    Done,
    /// No event is pending or active (libevent's 1).
    Empty,
}

/// An event loop and its events. `C` is the context that the handlers work on.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use evshard::{Config, EventBase, EventSpec, Fired, Interest, Registry};
///
/// struct App { reader: UnixStream, got: Vec<u8> }
///
/// fn on_readable(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
///     let mut buffer = [0; 64];
///     let n = app.reader.read(&mut buffer).expect("the base reported it readable");
///     app.got.extend(&buffer[..n]);
///     registry.free(fired.id); // a handler may free any event, its own included
/// }
///
/// let (reader, mut writer) = UnixStream::pair()?;
/// let mut app = App { reader, got: Vec::new() };
/// let mut base = EventBase::new(Config::default())?;
/// let readable = EventSpec::io(&app.reader, Interest::READ).persist();
/// let id = base.registry().create(readable, on_readable);
/// base.registry().add(id, None)?;
/// writer.write_all(b"hello")?;
/// base.run(&mut app)?; // returns when no event is left
/// assert_eq!(app.got, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventBase<C> {
    pub(super) registry: Registry<C>,
    limit: DispatchLimit,
    /// The reports of the last wait; reused to save allocations.
    ready: Vec<FdReady>,
}

impl<C> EventBase<C> {
    /// Opens a base (libevent: `event_base_new_with_config`).
    ///
    /// # Errors
    ///
    /// [`Error::NoBackend`] if every backend is excluded or fails to open, [`Error::Os`] if the
    /// notifier's eventfd cannot be created, and [`Error::Fd`] if the backend cannot watch it.
    pub fn new(config: Config) -> Result<Self> {
        let is_set = selection::environment(&config);
        let config = selection::with_environment(config, &is_set);
        Self::with_backend(&config, selection::select(&config, &is_set)?)
    }

    pub(super) fn with_backend(config: &Config, selected: Selected) -> Result<Self> {
        let mut registry = Registry::new(config, selected)?;
        let remote_jobs = registry.create_internal(EventSpec::notify(), run_jobs);
        registry.add(remote_jobs, None)?;
        // Now, not before the first wait: a base without a working notifier is an error.
        registry.flush_changes();
        match registry.take_refusal(remote_jobs) {
            Some(refused) => Err(refused),
            None => Ok(Self { registry, limit: config.limit, ready: Vec::new() }),
        }
    }

    /// Makes a base usable in a child after `fork(2)`, independent of its parent's (libevent:
    /// `event_reinit`).
    ///
    /// Until then the child and the parent share the base's kernel objects, and a change in one
    /// affects the other. This call opens new objects, under the same numbers where other threads
    /// could hold them, and registers every pending event there. Call it first in the child. The
    /// parent's base is not affected, neither by this call nor by dropping the base instead.
    ///
    /// A child has only the thread that forked. If another thread was posting to this base at that
    /// moment, the base's [`Remote`] stays locked for ever: fork while no thread posts. What was
    /// posted or active before the fork runs in both processes.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if a new descriptor cannot be created. The events of descriptors that cannot
    /// be registered again get [`Ready::REFUSED`](crate::Ready::REFUSED).
    pub fn reinit(&mut self) -> Result<()> {
        let registry = &mut self.registry;
        registry.kernel.reopen()?;
        registry.notifier.renew()?;
        registry.events.signals.renew()?;
        registry.kernel.register_all(&mut registry.events.fds);
        registry.report_refusals();
        Ok(())
    }

    /// The base's events, and the calls that act on them.
    pub fn registry(&mut self) -> &mut Registry<C> {
        &mut self.registry
    }

    /// A handle by which other threads run closures on this base's thread.
    #[must_use]
    pub fn remote(&self) -> Remote<C> {
        self.registry.remote()
    }

    /// Runs until no event is left or a handler ends it (libevent: `event_base_dispatch`).
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the backend cannot wait. The base stays usable. An interrupted wait is no
    /// error. Nor is a wait that fails for lack of memory (`ENOMEM`, `EAGAIN`, or `EBUSY` of a
    /// ring): the loop makes it again, after pauses from 1 to 100 ms. Meanwhile timers fire, and
    /// [`LoopStats::wait_errors`](crate::LoopStats::wait_errors) counts.
    pub fn run(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::empty())
    }

    /// Runs until a handler or a [`Remote`] ends the loop, also while no event is pending.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_until_exit(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::NO_EXIT_ON_EMPTY)
    }

    /// Waits until at least one event fires, runs the active events and returns. Closures posted by
    /// a [`Remote`] run meanwhile, but do not end the wait.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_once(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::ONCE)
    }

    /// Runs with flags (libevent: `event_base_loop`).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with(&mut self, cx: &mut C, flags: LoopFlags) -> Result<LoopEnd> {
        self.registry.enter_loop();
        // Its drop leaves the loop also when a handler panics.
        let entered = Entered(self);
        entered.0.turns(cx, flags)
    }

    fn turns(&mut self, cx: &mut C, flags: LoopFlags) -> Result<LoopEnd> {
        loop {
            self.registry.control.begin_turn();
            if self.registry.should_stop() {
                return Ok(LoopEnd::Stopped);
            }
            let may_end = !flags.contains(LoopFlags::NO_EXIT_ON_EMPTY);
            if may_end && self.registry.has_nothing_to_do() {
                return Ok(LoopEnd::Empty);
            }
            self.prepare(cx, flags);
            self.wait(flags)?;
            self.registry.run_check_watchers(cx);
            self.registry.activate_expired();
            let had_active = self.registry.has_active();
            let calls = self.run_active(cx);
            if self.registry.should_stop() {
                return Ok(LoopEnd::Stopped);
            }
            let drained = !self.registry.has_active();
            if flags.contains(LoopFlags::ONCE) && calls > 0 && drained {
                return Ok(LoopEnd::Done);
            }
            if flags.contains(LoopFlags::NONBLOCK) && !had_active {
                return Ok(LoopEnd::Done);
            }
        }
    }

    /// Calls the prepare watchers, and makes the events active that were activated for this turn.
    fn prepare(&mut self, cx: &mut C, flags: LoopFlags) {
        let registry = &mut self.registry;
        if registry.watchers.has_prepare() {
            let timeout = registry.time_to_wait(flags);
            registry.run_prepare_watchers(cx, timeout);
        }
        registry.events.active.promote_later(&mut registry.events.slots);
    }

    /// Waits at most until the next timer, and makes the reported events active.
    fn wait(&mut self, flags: LoopFlags) -> Result<()> {
        let registry = &mut self.registry;
        let mut timeout = registry.time_to_wait(flags);
        // After a notification since the last wait, this one must not block.
        if timeout != Some(Duration::ZERO) && !registry.notifier.wake_word().fall_asleep() {
            timeout = Some(Duration::ZERO);
        }
        self.ready.clear();
        let waited = registry.flush_and_wait(timeout, &mut self.ready);
        let notified = registry.notifier.wake_word().wake_up();
        registry.timers.clock.forget(true);
        let waited = registry.complete(waited, &mut self.ready);
        if notified {
            registry.activate_notified();
        }
        registry.stats.events += self.ready.len() as u64;
        // Without edges, the eventfd is reported until it is read.
        let has_edges = registry.kernel.features().contains(Features::EDGE);
        if !has_edges && self.ready.iter().any(|ready| ready.fd == registry.notifier.fd()) {
            registry.notifier.drain();
        }
        for fd_ready in self.ready.drain(..) {
            registry.activate_reported(fd_ready);
        }
        match waited {
            Ok(_) => {
                registry.stats.waits += 1;
                registry.failed_waits.end();
            }
            Err(error) if is_transient(&error) => {
                let at_most = registry.time_to_wait(flags);
                registry.failed_waits.pause(&error, at_most);
                registry.timers.clock.forget(true);
            }
            Err(error) => return Err(Error::os("wait for events")(error)),
        }
        Ok(())
    }

    /// Expires what is due at `now_ns`, since the base was created, and calls its handlers at that
    /// moment. The time stays until the loop runs.
    #[cfg(test)]
    pub(crate) fn run_at(&mut self, cx: &mut C, now_ns: u64) {
        self.registry.timers.clock.pretend(now_ns);
        self.registry.activate_expired();
        self.run_active(cx);
    }

    /// Calls the handlers of the most urgent active events; returns how many of the user's ran.
    ///
    /// If only the base's own events ran, the next priority follows. Otherwise less urgent events
    /// run in the next turn, after the loop has polled descriptors and timers again.
    pub(super) fn run_active(&mut self, cx: &mut C) -> u64 {
        let (mut calls, mut from) = (0, 0);
        while let Some(priority) = self.registry.events.active.first_priority(from) {
            calls = self.run_queue(cx, priority);
            let Some(next) = priority.checked_add(1) else { break };
            if calls > 0 || self.registry.control.ends_pass() {
                break;
            }
            from = next;
        }
        self.registry.control.end_handlers();
        self.registry.stats.calls += calls;
        calls
    }

    fn run_queue(&mut self, cx: &mut C, priority: u8) -> u64 {
        let mut calls = 0;
        self.registry.control.begin_queue(priority);
        let clock = &mut self.registry.timers.clock;
        let budget = self.limit.budget(priority, || {
            clock.refresh();
            clock.now_ns()
        });
        while let Some((handler, fired, counted)) = self.registry.begin_dispatch(priority) {
            handler(&mut self.registry, cx, fired);
            while self.registry.control.calls_again() {
                handler(&mut self.registry, cx, fired);
            }
            calls += counted as u64;
            if self.registry.pass_ends(&budget, calls) {
                break;
            }
        }
        calls
    }
}

/// A base whose loop is running.
struct Entered<'a, C>(&'a mut EventBase<C>);

impl<C> Drop for Entered<'_, C> {
    fn drop(&mut self) {
        let registry = &mut self.0.registry;
        registry.control.leave_loop();
        registry.timers.clock.forget(false);
    }
}

/// The state of the loop.
impl<C> Registry<C> {
    fn enter_loop(&mut self) {
        self.control.enter_loop();
        if self.notifier.has_requests() {
            self.notifier.take_request(Request::Break);
        }
        if self.jobs.has_received() {
            // A posted closure panicked; the closures behind it are still to run.
            self.activate_notified();
        }
    }

    /// Whether no event is pending or active, and no posted closure could change that. (In libevent
    /// the call of another thread has taken effect when it returns.)
    fn has_nothing_to_do(&self) -> bool {
        self.events.counts.is_idle() && self.jobs.is_empty()
    }

    /// Whether a handler or another thread has requested the end of the loop.
    fn should_stop(&mut self) -> bool {
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
    fn complete(
        &mut self,
        mut waited: io::Result<Reported>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        for asked in 0..ASKS_MAX {
            let overdue = self.timers.overdue(&mut self.events.slots);
            let is_incomplete = match &waited {
                Ok(Reported::All) => asked == 0 && overdue.is_some_and(|overdue| overdue >= LATE),
                Ok(Reported::Part) => overdue.is_some(),
                Err(error) => asked == 0 && is_transient(error),
            };
            if !is_incomplete {
                break;
            }
            waited = self.flush_and_wait(Some(Duration::ZERO), ready);
        }
        waited
    }

    /// How long the next wait may last; `None` is for ever.
    fn time_to_wait(&mut self, flags: LoopFlags) -> Option<Duration> {
        let must_not_block =
            flags.contains(LoopFlags::NONBLOCK) || self.has_active() || self.control.should_stop();
        if must_not_block {
            Some(Duration::ZERO)
        } else {
            self.timers.time_to_next(&mut self.events.slots)
        }
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

impl<C> Drop for EventBase<C> {
    fn drop(&mut self) {
        self.registry.jobs.close();
    }
}
