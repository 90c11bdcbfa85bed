//! Remote: acts on a base from any thread, by closures that run on the base's thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::base::cross_thread::inbox::Inbox;
use crate::base::cross_thread::notify::{Notifier, Request, Wake};
use crate::error::Result;
use crate::event::{EventId, Fired, Ready};

/// A posted closure.
pub(in crate::base) type Job<C> = Box<dyn FnOnce(&mut Registry<C>, &mut C) + Send>;

/// Acts on one base from other threads (libevent: calls of `event_add` and others from there);
/// cheap to clone.
///
/// Each action runs on the base's thread, in the order posted, as one event of the loop, at the
/// latest after the current turn. Callers never wait for the base, so they cannot deadlock with it.
/// A base that is awake costs no system call. The lock is held for a push or a swap of two vectors,
/// never while a closure runs. If a closure panics, the others run when the loop runs again.
///
/// The caller gets no result. An action on an event that was freed meanwhile has no effect. An
/// event that cannot be added gets [`Ready::REFUSED`].
///
/// ```
/// use evshard::{Config, EventBase};
///
/// let mut base = EventBase::<Vec<&str>>::new(Config::default())?;
/// let remote = base.remote();
/// let thread = std::thread::spawn(move || {
///     remote.post(|_, log| log.push("hello from another thread"))?;
///     remote.post(|registry, _| registry.loop_exit())
/// });
/// let mut log = Vec::new();
/// base.run_until_exit(&mut log)?;
/// assert_eq!(log, ["hello from another thread"]);
/// # thread.join().unwrap()?;
/// # Ok::<(), evshard::Error>(())
/// ```
pub struct Remote<C> {
    inbox: Arc<Inbox<Job<C>>>,
    notifier: Notifier,
}

impl<C> Remote<C> {
    /// A handle that only wakes the base.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Runs `job` on the base's thread.
    ///
    /// # Errors
    ///
    /// [`Error::BaseGone`](crate::Error::BaseGone) if the base was dropped; `job` is then dropped,
    /// too.
    pub fn post(
        &self,
        job: impl FnOnce(&mut Registry<C>, &mut C) + Send + 'static,
    ) -> Result<Wake> {
        self.inbox.push(Box::new(job))?;
        Ok(self.notifier.notify())
    }
}

/// The most common actions.
impl<C> Remote<C> {
    /// Adds an event there; see [`Registry::add`].
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn add(&self, id: EventId, timeout: Option<Duration>) -> Result<Wake> {
        self.post(move |registry, _| registry.add_or_refuse(id, timeout))
    }

    /// Deletes an event there; see [`Registry::del`]. Its handler may be running now, and may run
    /// once more before the base deletes the event.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn del(&self, id: EventId) -> Result<Wake> {
        self.post(move |registry, _| registry.del(id))
    }

    /// Frees an event there; see [`Registry::free`]. Close its descriptor in a closure that is
    /// posted after this.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn free(&self, id: EventId) -> Result<Wake> {
        self.post(move |registry, _| registry.free(id))
    }

    /// Activates an event there; see [`Registry::activate`].
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn activate(&self, id: EventId, ready: Ready) -> Result<Wake> {
        self.post(move |registry, _| {
            // An event that was freed meanwhile needs no activation.
            let _ = registry.activate(id, ready);
        })
    }

    /// Ends the loop after its pass over the active events; see [`Registry::loop_exit`].
    pub fn loop_exit(&self) -> Wake {
        self.notifier.request(Request::Exit)
    }

    /// Ends the loop after the running handler; see [`Registry::loop_break`]. Has no effect before
    /// the loop runs.
    pub fn loop_break(&self) -> Wake {
        self.notifier.request(Request::Break)
    }
}

impl<C> Registry<C> {
    /// A handle by which other threads act on this base.
    #[must_use]
    pub fn remote(&self) -> Remote<C> {
        Remote { inbox: self.jobs.inbox(), notifier: self.notifier.clone() }
    }

    fn add_or_refuse(&mut self, id: EventId, timeout: Option<Duration>) {
        if let (Err(error), Some(index)) = (self.add(id, timeout), self.events.slots.index_of(id)) {
            self.refuse(index, error);
        }
    }
}

impl<C> Clone for Remote<C> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), notifier: self.notifier.clone() }
    }
}

impl<C> fmt::Debug for Remote<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("notifier", &self.notifier).finish_non_exhaustive()
    }
}

/// The handler of the base's own notify event: runs the posted closures.
pub(in crate::base) fn run_jobs<C>(registry: &mut Registry<C>, cx: &mut C, _fired: Fired) {
    registry.jobs.receive();
    // One at a time: if one panics, those behind it stay in the queue.
    while let Some(job) = registry.jobs.pop() {
        job(registry, cx);
    }
}
