//! The notifier: the one way to wake a base from another thread (libevent: `evthread_notify_base`).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::wake::WakeWord;
use crate::error::{Error, Result};
use crate::sync::{AtomicU8, Ordering};
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
    /// Requests to end the loop, for it to see between two handlers.
    requests: AtomicU8,
}

/// What other threads may ask of the loop at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::base) enum Request {
    Exit = 1,
    Break = 2,
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
    pub(in crate::base) fn new() -> Result<Self> {
        let bell = EventFd::new().map_err(Error::os("eventfd"))?;
        let requests = AtomicU8::new(0);
        Ok(Self { line: Arc::new(Line { word: WakeWord::new(), bell, requests }) })
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

    /// Asks the loop to end and wakes it.
    pub(in crate::base) fn request(&self, request: Request) -> Wake {
        self.line.requests.fetch_or(request as u8, Ordering::Release);
        self.notify()
    }

    /// Whether the loop was asked for anything; free of cost while it was not.
    pub(in crate::base) fn has_requests(&self) -> bool {
        self.line.requests.load(Ordering::Relaxed) != 0
    }

    /// Whether the loop was asked for this since the last call.
    pub(in crate::base) fn take_request(&self, request: Request) -> bool {
        self.line.requests.fetch_and(!(request as u8), Ordering::Acquire) & request as u8 != 0
    }

    /// In a child after `fork(2)`: a bell of its own.
    pub(in crate::base) fn renew(&self) -> Result<()> {
        self.line.bell.renew().map_err(Error::os("dup3"))
    }

    pub(in crate::base) fn word(&self) -> &WakeWord {
        &self.line.word
    }

    pub(in crate::base) fn fd(&self) -> RawFd {
        self.line.bell.as_raw_fd()
    }

    /// Ends the level of a bell that was seen.
    pub(in crate::base) fn silence(&self) {
        // An eventfd of our own can be read.
        let _ = self.line.bell.drain();
    }
}
