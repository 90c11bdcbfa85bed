//! The notifier: wakes a base from another thread (libevent: `evthread_notify_base`).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::wake::WakeWord;
use crate::error::{Error, Result};
use crate::sync::{AtomicU8, Ordering};
use crate::sys::eventfd::EventFd;

/// Wakes one base from any thread; cheap to clone.
///
/// Publish first, then call [`notify`](Self::notify). The base then runs its
/// [`EventSpec::notify`](crate::EventSpec::notify) events once, however often it was notified
/// meanwhile. Notifying a base that is awake costs no system call.
///
/// ```
/// use evshard::{Config, EventBase, EventSpec, Registry};
///
/// let mut base = EventBase::<u32>::new(Config::default())?;
/// let notified = base.registry().create(EventSpec::notify(), |registry, count, _| {
///     *count += 1;
///     registry.loop_exit();
/// });
/// base.registry().add(notified, None)?;
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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    wake: WakeWord,
    /// Watched edge-triggered and never read: every write is an edge, and the counter is full
    /// after 2^64 writes. Under a level-triggered backend the base reads it after each report.
    eventfd: EventFd,
    /// Requests to end the loop. The loop checks them between two handlers.
    requests: AtomicU8,
}

/// What other threads can request of the loop at any time.
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
    /// The base was awake or already notified: one atomic swap.
    Suppressed,
}

impl Notifier {
    pub(in crate::base) fn new() -> Result<Self> {
        let eventfd = EventFd::new().map_err(Error::os("eventfd"))?;
        let requests = AtomicU8::new(0);
        Ok(Self { inner: Arc::new(Inner { wake: WakeWord::new(), eventfd, requests }) })
    }

    /// Wakes the base, which then runs its notify events. They see everything the caller did
    /// before this call.
    ///
    /// Call it once after a batch, not after every item: each call is a locked instruction on a
    /// cache line that the base also writes.
    pub fn notify(&self) -> Wake {
        if !self.inner.wake.notify() {
            return Wake::Suppressed;
        }
        // The only failure of a non-blocking eventfd's write is a full counter: it is readable.
        let _ = self.inner.eventfd.signal();
        Wake::Sent
    }

    /// Requests the end of the loop and wakes it.
    pub(in crate::base) fn request(&self, request: Request) -> Wake {
        self.inner.requests.fetch_or(request as u8, Ordering::Release);
        self.notify()
    }

    /// Whether a request is pending; a plain load.
    #[inline]
    pub(in crate::base) fn has_requests(&self) -> bool {
        self.inner.requests.load(Ordering::Relaxed) != 0
    }

    /// Takes one kind of request; whether it was pending.
    pub(in crate::base) fn take_request(&self, request: Request) -> bool {
        self.inner.requests.fetch_and(!(request as u8), Ordering::Acquire) & request as u8 != 0
    }

    /// Replaces the eventfd in a child after `fork(2)`, under the same number.
    pub(in crate::base) fn renew(&self) -> Result<()> {
        self.inner.eventfd.renew().map_err(Error::os("dup3"))
    }

    pub(in crate::base) fn wake_word(&self) -> &WakeWord {
        &self.inner.wake
    }

    pub(in crate::base) fn fd(&self) -> RawFd {
        self.inner.eventfd.as_raw_fd()
    }

    /// Reads the eventfd, so that a level-triggered backend does not report it again.
    pub(in crate::base) fn drain(&self) {
        // Reading our own eventfd does not fail.
        let _ = self.inner.eventfd.drain();
    }
}
