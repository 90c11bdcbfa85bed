//! The notifier: the one way to wake a base from another thread (libevent: `evthread_notify_base`).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::wake::WakeWord;
use crate::error::{Error, Result};
use crate::sys::eventfd::EventFd;

/// Wakes one base from any thread; cheap to clone.
///
/// Publish first, then [`notify`](Self::notify). The base then runs its
/// [`EventSpec::notify`](crate::EventSpec::notify) events once, however often it was notified
/// meanwhile. A base that is awake costs the caller no system call.
///
/// ```
/// use evshard::{Config, EventBase, EventSpec, Registry};
///
/// let mut base = EventBase::<u32>::new(Config::default())?;
/// let told = base.registry().create(EventSpec::notify(), |registry, count, _| {
///     *count += 1;
///     registry.loop_exit();
/// });
/// base.registry().add(told, None)?;
///
/// let notifier = base.registry().notifier();
/// let thread = std::thread::spawn(move || notifier.notify());
/// let mut count = 0;
/// base.run(&mut count)?;
/// assert_eq!(count, 1);
/// # thread.join().unwrap();
/// # Ok::<(), evshard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Notifier {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    word: WakeWord,
    /// Watched edge-triggered and never read: every write is an edge, and the counter fills up
    /// after 2^64 of them. A backend that only knows the level has it read whenever it is told.
    bell: EventFd,
}

/// What a notification cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The base slept: one `write(2)` to its eventfd.
    Sent,
    /// The base was awake, or woken already: nothing but an atomic swap.
    Suppressed,
}

impl Notifier {
    pub(super) fn new() -> Result<Self> {
        let bell = EventFd::new().map_err(Error::os("eventfd"))?;
        Ok(Self { line: Arc::new(Line { word: WakeWord::new(), bell }) })
    }

    /// Makes the base look. Everything the caller did before is visible to what then runs there.
    ///
    /// Call it once after a batch, not after every item: each call is a locked instruction on a
    /// cache line that the base writes too.
    pub fn notify(&self) -> Wake {
        if !self.line.word.notify() {
            return Wake::Suppressed;
        }
        // The only failure of a non-blocking eventfd's write is a full counter: it is readable.
        let _ = self.line.bell.signal();
        Wake::Sent
    }

    pub(super) fn word(&self) -> &WakeWord {
        &self.line.word
    }

    pub(super) fn fd(&self) -> RawFd {
        self.line.bell.as_raw_fd()
    }

    /// Ends the level of a bell that was seen.
    pub(super) fn silence(&self) {
        // The only failure of a non-blocking eventfd's read is a counter of zero: silent already.
        let _ = self.line.bell.drain();
    }
}
