//! Remote: run a closure on the base's thread, sent from any other.

use std::fmt;
use std::sync::Arc;

use super::Registry;
use super::notify::{Notifier, Wake};
use crate::error::{Error, Result};
use crate::sync::Mutex;

type Job<C> = Box<dyn FnOnce(&mut Registry<C>, &mut C) + Send>;

/// Posts closures to one base; cheap to clone.
///
/// They run in the order posted, as one event of the loop, at latest after the current turn.
/// The lock is held for a push or a swap of two vectors, never while a closure runs.
///
/// ```
/// use evshard::{Config, EventBase};
///
/// let mut base = EventBase::<Vec<&str>>::new(Config::default())?;
/// let remote = base.remote();
/// let thread = std::thread::spawn(move || {
///     remote.post(|_, log| log.push("hello from afar"))?;
///     remote.post(|registry, _| registry.loop_exit())
/// });
/// let mut log = Vec::new();
/// base.run_until_exit(&mut log)?;
/// assert_eq!(log, ["hello from afar"]);
/// # thread.join().unwrap()?;
/// # Ok::<(), evshard::Error>(())
/// ```
pub struct Remote<C> {
    inbox: Arc<Inbox<C>>,
    notifier: Notifier,
}

/// Closures that wait for the base; `None` once it is gone.
pub(super) struct Inbox<C>(Mutex<Option<Vec<Job<C>>>>);

impl<C> Inbox<C> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    /// Everything posted so far.
    pub(super) fn take(&self) -> Vec<Job<C>> {
        self.0.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Refuses what is posted from now on and drops what was not run.
    pub(super) fn close(&self) {
        // The jobs are dropped after the lock is released: a drop may post.
        let unrun = self.0.lock().take();
        drop(unrun);
    }
}

impl<C> Remote<C> {
    pub(super) fn new(inbox: Arc<Inbox<C>>, notifier: Notifier) -> Self {
        Self { inbox, notifier }
    }

    /// A handle that only wakes the base.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Has `job` run on the base's thread.
    ///
    /// # Errors
    ///
    /// [`Error::BaseGone`] if the base was dropped; `job` is dropped, too.
    pub fn post(
        &self,
        job: impl FnOnce(&mut Registry<C>, &mut C) + Send + 'static,
    ) -> Result<Wake> {
        self.inbox.0.lock().as_mut().ok_or(Error::BaseGone)?.push(Box::new(job));
        Ok(self.notifier.notify())
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
