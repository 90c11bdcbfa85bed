//! The event base: waits for descriptors and timeouts and calls the handlers of what came true.
//!
//! libevent's semantics (`event2/event.h`) with ownership: events live in the base and are named
//! by ids, state lives in the caller's context, handlers are plain functions of both. One base
//! belongs to one thread and has no lock; other threads reach it through [`Notifier`] and
//! [`Remote`].

mod active;
mod changelist;
mod clock;
mod config;
mod control;
mod fd_map;
mod membership;
mod notify;
mod registry;
mod remote;
mod slot;
mod stats;
mod timer;
mod wake;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use changelist::ChangelistPolicy;
pub use config::Config;
pub use notify::{Notifier, Wake};
pub use registry::Registry;
pub use remote::Remote;
pub use stats::LoopStats;

use crate::backend::{Backend, ChangelistFlush, FdReady, Features};
use crate::error::{Error, Result};
use crate::event::{EventSpec, Fired};

/// What an event calls: the registry to act on events, the context that owns all state, and why.
///
/// A handler cannot capture, so nothing needs `Rc` or `RefCell`; what it needs is in the context,
/// found by [`Fired::token`].
pub type Handler<C> = fn(&mut Registry<C>, &mut C, Fired);

bitflags::bitflags! {
    /// How a loop runs (libevent: the flags of `event_base_loop`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct LoopFlags: u8 {
        /// Wait until at least one handler ran, then return (`EVLOOP_ONCE`).
        const ONCE = 0x01;
        /// Never wait: run what is ready until nothing is, then return (`EVLOOP_NONBLOCK`).
        const NONBLOCK = 0x02;
        /// Wait even when no event is pending, for other threads (`EVLOOP_NO_EXIT_ON_EMPTY`).
        const NO_EXIT_ON_EMPTY = 0x04;
    }
}

/// Why a loop returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopEnd {
    /// `loop_exit` or `loop_break` was called (libevent's 0).
    Stopped,
    /// What [`LoopFlags::ONCE`] or [`LoopFlags::NONBLOCK`] asked for is done (libevent's 0).
    Done,
    /// No event was pending or active any more (libevent's 1).
    Empty,
}

/// An event loop and its events. `C` is the context: whatever the handlers work on.
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
///     let n = app.reader.read(&mut buffer).expect("the base said it is readable");
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
    registry: Registry<C>,
    /// What the last wait reported; kept for its memory.
    ready: Vec<FdReady>,
}

impl<C> EventBase<C> {
    /// Opens a base (libevent: `event_base_new_with_config`).
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the kernel gives no descriptor for the backend or the notifier, and
    /// [`Error::Fd`] if it will not watch the notifier.
    pub fn new(config: Config) -> Result<Self> {
        Self::with_backend(config.backend.open(ChangelistFlush::default())?, config.changelist)
    }

    fn with_backend(backend: Box<dyn Backend>, policy: ChangelistPolicy) -> Result<Self> {
        let mut registry = Registry::new(backend, policy)?;
        let remote_jobs = registry.create_internal(EventSpec::notify(), run_remote_jobs);
        registry.add(remote_jobs, None)?;
        // Now, not before the first wait: a base that no notifier can wake must not come to be.
        registry.flush_changes();
        match registry.take_refusal(remote_jobs) {
            Some(refused) => Err(refused),
            None => Ok(Self { registry, ready: Vec::new() }),
        }
    }

    /// The base's events.
    pub fn registry(&mut self) -> &mut Registry<C> {
        &mut self.registry
    }

    /// A handle that runs closures here from other threads.
    #[must_use]
    pub fn remote(&self) -> Remote<C> {
        self.registry.remote()
    }

    /// Runs until no event is left or a handler ends it (libevent: `event_base_dispatch`).
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the backend cannot wait. An interrupted wait is no error.
    pub fn run(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::empty())
    }

    /// Runs until a handler ends it, also while no event is pending.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_until_exit(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::NO_EXIT_ON_EMPTY)
    }

    /// Waits until something happens, handles it and returns. Closures posted by a [`Remote`] run
    /// meanwhile, but are not what it waits for.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_once(&mut self, cx: &mut C) -> Result<LoopEnd> {
        self.run_with(cx, LoopFlags::ONCE)
    }

    /// Runs as the flags say (libevent: `event_base_loop`).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with(&mut self, cx: &mut C, flags: LoopFlags) -> Result<LoopEnd> {
        self.registry.control.enter_loop();
        let end = self.turns(cx, flags);
        self.registry.control.leave_loop();
        self.registry.clock.forget(false);
        end
    }

    fn turns(&mut self, cx: &mut C, flags: LoopFlags) -> Result<LoopEnd> {
        loop {
            if self.registry.control.should_stop() {
                return Ok(LoopEnd::Stopped);
            }
            self.registry.flush_changes();
            let may_end = !flags.contains(LoopFlags::NO_EXIT_ON_EMPTY);
            if may_end && self.registry.has_nothing_to_do() {
                return Ok(LoopEnd::Empty);
            }
            self.wait(flags)?;
            self.registry.activate_expired();
            let had_active = self.registry.has_active();
            let calls = self.run_active(cx);
            if self.registry.control.should_stop() {
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

    /// One wait, at most until the next timer; turns what it reports into active events.
    fn wait(&mut self, flags: LoopFlags) -> Result<()> {
        let registry = &mut self.registry;
        let must_not_block = registry.has_active() || flags.contains(LoopFlags::NONBLOCK);
        let timeout = if must_not_block || !registry.notifier.word().fall_asleep() {
            Some(Duration::ZERO)
        } else {
            registry.time_to_next_timer()
        };
        self.ready.clear();
        let waited = registry.backend.wait(timeout, &mut self.ready);
        let notified = registry.notifier.word().wake_up();
        registry.clock.forget(true);
        if notified {
            registry.activate_notified();
        }
        waited.map_err(Error::os("wait for events"))?;
        registry.stats.waits += 1;
        registry.stats.events += self.ready.len() as u64;
        let knows_edges = registry.backend.features().contains(Features::EDGE);
        for fd_ready in self.ready.drain(..) {
            if !knows_edges && fd_ready.fd == registry.notifier.fd() {
                registry.notifier.silence();
            }
            registry.activate_fd(fd_ready);
        }
        Ok(())
    }

    /// Calls the handlers of active events until none is left or one breaks the loop; returns how
    /// many of the user's ran.
    fn run_active(&mut self, cx: &mut C) -> u64 {
        let mut calls = 0;
        while let Some((handler, fired, counts)) = self.registry.begin_dispatch() {
            handler(&mut self.registry, cx, fired);
            calls += u64::from(counts);
            if self.registry.control.got_break() {
                break;
            }
        }
        self.registry.stats.calls += calls;
        calls
    }
}

impl<C> Drop for EventBase<C> {
    fn drop(&mut self) {
        self.registry.inbox.close();
    }
}

/// The base's own notify event: runs what was posted.
fn run_remote_jobs<C>(registry: &mut Registry<C>, cx: &mut C, _fired: Fired) {
    for job in registry.inbox.take() {
        job(registry, cx);
    }
}
