//! An event base inside the loop of another library, which waits for it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::steps::Run;
use super::{EventBase, LoopEnd, LoopFlags};
use crate::base::registry::Registry;
use crate::base::registry::remote::Remote;
use crate::error::{Error, Result};

/// An event base whose waits another loop makes: GLib's, that of a runtime, or one of your own.
///
/// The loop waits until the descriptor of this value is readable, at most for
/// [`next_wait`](Self::next_wait), and then calls [`turn`](Self::turn). Call `next_wait` right
/// before each wait. It also prepares the descriptor: events may have changed since the last turn.
///
/// ```
/// use std::time::Duration;
/// use evshard::{Config, EventBase, EventSpec, LoopEnd};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
///
/// let mut base = EventBase::<u32>::new(Config::default())?;
/// let timer = base.registry().create(EventSpec::timer(), |_, fired, _| *fired += 1);
/// base.registry().add(timer, Some(Duration::from_millis(1)))?;
///
/// let (mut base, mut fired) = (base.embed()?, 0);
/// let end = loop {
///     let timeout = base.next_wait().map(Timespec::try_from).transpose()?;
///     poll(&mut [PollFd::new(&base, PollFlags::IN)], timeout.as_ref())?;
///     if let Some(end) = base.turn(&mut fired)?.end {
///         break end;
///     }
/// };
/// assert_eq!((fired, end), (1, LoopEnd::Empty));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// For a loop that waits for edges (`EPOLLET`, as tokio's `AsyncFd`), the descriptor may be ready
/// after a turn without a new edge. Such a loop takes turns until one calls no handler, and waits
/// for an edge only then.
#[derive(Debug)]
pub struct Embedded<C> {
    base: EventBase<C>,
    run: Run,
}

/// What one turn of an embedded base did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Handlers called. If it is not zero, more may be ready.
    pub calls: u64,
    /// [`LoopEnd::Stopped`] if a handler or a [`Remote`] has ended the loop: further turns do
    /// nothing. [`LoopEnd::Empty`] if no event is left.
    pub end: Option<LoopEnd>,
}

impl<C> EventBase<C> {
    /// Gives the base to the loop of another library.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmbeddable`] if the backend is not epoll or io_uring. The others have no
    /// descriptor that shows what is ready.
    pub fn embed(mut self) -> Result<Embedded<C>> {
        if self.registry.kernel.descriptor().is_none() {
            return Err(Error::NotEmbeddable { backend: self.registry.backend_name() });
        }
        let run = self.begin_loop(LoopFlags::NONBLOCK);
        Ok(Embedded { base: self, run })
    }
}

impl<C> Embedded<C> {
    /// How long the other loop may wait for the descriptor to be readable. `None` is until it is;
    /// zero is not at all.
    pub fn next_wait(&mut self) -> Option<Duration> {
        let registry = &mut self.base.registry;
        // As every turn begins: what was published before is seen.
        if registry.notifier.wake_word().wake_up() {
            registry.activate_notified();
        }
        let has_more = registry.kernel.arm(&mut registry.events.fds);
        registry.report_refusals();
        let must_not_wait = has_more || registry.should_stop();
        let timeout = registry.time_to_wait(LoopFlags::empty());
        let may_wait = !must_not_wait && timeout != Some(Duration::ZERO);
        if may_wait && registry.notifier.wake_word().fall_asleep() {
            timeout
        } else {
            Some(Duration::ZERO)
        }
    }

    /// Collects what is ready or due, without waiting, and calls the handlers of the most urgent
    /// priority among it.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the backend cannot be asked. The base stays usable. A lack of memory is no
    /// error, as in [`EventBase::run`]. But the turn does not pause, because a pause would hold the
    /// other loop: the descriptor stays readable, and the next turn asks again.
    pub fn turn(&mut self, cx: &mut C) -> Result<Turn> {
        let ended = self.base.turn(cx, &mut self.run);
        // The other loop's code runs now, and takes time.
        self.base.registry.timers.clock.forget(false);
        let stopped = ended?.filter(|end| *end != LoopEnd::Done);
        let is_empty = self.base.registry.has_nothing_to_do();
        let end = stopped.or(is_empty.then_some(LoopEnd::Empty));
        Ok(Turn { calls: self.run.calls(), end })
    }

    /// The base's events, and the calls that act on them.
    pub fn registry(&mut self) -> &mut Registry<C> {
        self.base.registry()
    }

    /// A handle by which other threads run closures on this base's thread. They make the descriptor
    /// readable.
    #[must_use]
    pub fn remote(&self) -> Remote<C> {
        self.base.remote()
    }

    /// Takes the base back, to run it or to end it.
    #[must_use]
    pub fn into_base(mut self) -> EventBase<C> {
        self.base.end_loop();
        self.base
    }
}

impl<C> AsFd for Embedded<C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.base.registry.kernel.descriptor().expect("`embed` refuses a base without one")
    }
}

impl<C> AsRawFd for Embedded<C> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
