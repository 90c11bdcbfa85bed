//! The event loop: waits, makes the reported events active, and calls their handlers in the order
//! of their priorities.

pub(super) mod embedded;
pub mod steps;

use super::limit::DispatchLimit;
use super::registry::Registry;
use super::registry::remote::{Remote, run_jobs};
use super::setup::config::Config;
use super::setup::selection::{self, Selected};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::event::EventSpec;
use steps::Run;

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
            None => Ok(Self { registry, limit: config.limit }),
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
        let mut run = self.begin_loop(flags);
        // Its drop ends the loop also when a handler panics.
        let entered = Entered(self);
        entered.0.turns(cx, &mut run)
    }

    fn turns(&mut self, cx: &mut C, run: &mut Run) -> Result<LoopEnd> {
        loop {
            if let Some(end) = self.turn(cx, run)? {
                return Ok(end);
            }
        }
    }

    /// One turn; returns why the loop ends, if it does.
    #[inline]
    fn turn(&mut self, cx: &mut C, run: &mut Run) -> Result<Option<LoopEnd>> {
        if let Some(end) = self.begin_turn(run) {
            return Ok(Some(end));
        }
        if self.registry.watchers.has_prepare() {
            let timeout = self.registry.time_to_wait(run.flags());
            self.registry.run_prepare_watchers(cx, timeout);
        }
        let mut wait = self.begin_wait(run);
        wait.run();
        self.end_wait(wait)?;
        self.registry.run_check_watchers(cx);
        self.begin_pass(run);
        self.dispatch_all(cx, run);
        Ok(self.end_turn(run))
    }

    /// Calls the handlers of the most urgent active events.
    fn dispatch_all(&mut self, cx: &mut C, run: &mut Run) {
        // As with `begin_dispatch` alone; two loops are compiled to fewer instructions.
        while self.begin_queue(run).is_some() {
            while let Some(call) = self.begin_dispatch_of_queue(run) {
                call.run(&mut self.registry, cx);
                while self.calls_again() {
                    call.run(&mut self.registry, cx);
                }
                self.end_dispatch(run);
            }
        }
    }

    /// Expires what is due at `now_ns`, since the base was created, and calls its handlers at that
    /// moment. The time stays until the loop runs.
    #[cfg(test)]
    pub(crate) fn run_at(&mut self, cx: &mut C, now_ns: u64) {
        self.registry.timers.clock.pretend(now_ns);
        self.registry.activate_expired();
        self.run_active(cx);
    }

    /// Calls the handlers of the most urgent active events.
    #[cfg(test)]
    pub(crate) fn run_active(&mut self, cx: &mut C) {
        let mut run = Run::new(LoopFlags::empty());
        self.dispatch_all(cx, &mut run);
        self.end_turn(&mut run);
    }
}

/// A base whose loop is running.
struct Entered<'a, C>(&'a mut EventBase<C>);

impl<C> Drop for Entered<'_, C> {
    fn drop(&mut self) {
        self.0.end_loop();
    }
}

impl<C> Drop for EventBase<C> {
    fn drop(&mut self) {
        self.registry.jobs.close();
    }
}
