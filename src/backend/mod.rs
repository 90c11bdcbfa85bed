//! Backends: turn net changes of interest into kernel calls, and kernel results into readiness.
//!
//! A backend is a leaf. It knows descriptors, not events, and nothing of the base above it; it
//! appends what is ready to the caller's buffer and never calls out.

mod epoll;
mod flush;
mod mask;
mod poll;
mod rotation;
mod select;
mod uring;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Interest, Ready};

bitflags::bitflags! {
    /// What a backend can do (libevent: `enum event_method_feature`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u8 {
        /// Edge-triggered events (`EV_FEATURE_ET`).
        const EDGE = 0x01;
        /// Cost per event does not grow with what is watched (`EV_FEATURE_O1`).
        const O1 = 0x02;
        /// Any descriptor, that of a regular file included, which is always ready
        /// (`EV_FEATURE_FDS`).
        const FDS = 0x04;
        /// The peer's close is told without reading what it sent before
        /// (`EV_FEATURE_EARLY_CLOSE`).
        const EARLY_CLOSE = 0x08;
    }
}

/// The mechanisms there are, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// `epoll(7)`: edge and level triggered, O(1) per event; refuses regular files.
    Epoll,
    /// io_uring polls: edge and level triggered, O(1) per event, any descriptor; all changes and
    /// the wait of a turn are one system call. Not every kernel and sandbox allows it. A
    /// descriptor closed before its event is deleted really closes when the event is deleted.
    IoUring,
    /// `poll(2)`: any descriptor; each wait costs in proportion to all that is watched.
    Poll,
    /// `pselect6(2)`: any descriptor, even above 1023; cannot tell the peer's close.
    Select,
}

impl BackendKind {
    /// Every kind, most preferred first.
    pub const ALL: &'static [Self] = &[Self::Epoll, Self::IoUring, Self::Poll, Self::Select];

    /// The name it is asked for by, and reports itself as.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
            Self::Poll => "poll",
            Self::Select => "select",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// What it can do.
    #[must_use]
    pub fn features(self) -> Features {
        match self {
            Self::Epoll => Features::EDGE | Features::O1 | Features::EARLY_CLOSE,
            Self::IoUring => Features::all(),
            Self::Poll => Features::FDS | Features::EARLY_CLOSE,
            Self::Select => Features::FDS,
        }
    }

    /// Every kind that this machine allows. A test without one is listed as skipped in part.
    #[cfg(test)]
    pub(crate) fn usable() -> impl Iterator<Item = Self> {
        let is_missing =
            |kind| kind == Self::IoUring && test_needs::missing_for_part(test_needs::Need::IoUring);
        Self::ALL.iter().copied().filter(move |kind| !is_missing(*kind))
    }

    pub(crate) fn open(self, flush: ChangelistFlush) -> Result<Box<dyn Backend>> {
        Ok(match self {
            Self::Epoll => Box::new(epoll::EpollBackend::new(flush)?),
            Self::IoUring => {
                Box::new(uring::UringBackend::new().map_err(Error::os("io_uring_setup"))?)
            }
            Self::Poll => Box::new(poll::PollBackend::default()),
            Self::Select => Box::new(select::SelectBackend::default()),
        })
    }
}

impl std::str::FromStr for BackendKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::by_name(name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            Error::UnknownBackend { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

/// How the epoll backend hands the changes of one flush to the kernel; other backends ignore it.
///
/// With the deferred changelist a turn's changes are flushed together. Through io_uring
/// (`IORING_OP_EPOLL_CTL`) all of them are one system call. On Linux 6.18 that takes more time than
/// `epoll_ctl(2)` for one or two changes (MOD: 526 ns instead of 436 each), less from four on (403
/// instead of 433), a fifth less for eight (342 instead of 432), and a third less for 64 and more
/// (293 instead of 433). An ADD saves as many nanoseconds of its 850.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangelistFlush {
    /// Through io_uring from eight changes on, if the kernel allows it, else by `epoll_ctl`.
    ///
    /// The ring is opened by the first flush that is large enough. A refusal is no error: calls
    /// do the same, and the kernel is not asked again.
    #[default]
    Auto,
    /// One `epoll_ctl(2)` a change, always.
    EpollCtl,
    /// One `io_uring_enter(2)` for all changes of a flush (256 at a time), always. A base cannot
    /// be made where the kernel refuses it.
    IoUring,
}

/// One descriptor's net change of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) fd: RawFd,
    /// What the kernel was last told.
    pub(crate) old: Interest,
    /// What it shall watch from now on.
    pub(crate) new: Interest,
    /// Whether edges are wanted instead of the level.
    pub(crate) edge: bool,
    /// Whether `old` was to be reported once.
    pub(crate) was_once: bool,
    /// Whether one report shall be the last, until the next change of this descriptor.
    pub(crate) once: bool,
    /// `old` is empty, but the kernel may still hold what an earlier `once` report disarmed.
    pub(crate) disarmed: bool,
}

#[cfg(test)]
impl Change {
    /// A plain level-triggered change.
    pub(crate) fn of(fd: RawFd, old: Interest, new: Interest) -> Self {
        Self { fd, old, new, edge: false, was_once: false, once: false, disarmed: false }
    }
}

/// A change that the kernel did not take; the backend watches the descriptor no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedChange {
    pub(crate) fd: RawFd,
    pub(crate) op: &'static str,
    pub(crate) errno: i32,
}

impl From<RefusedChange> for Error {
    fn from(RefusedChange { fd, op, errno }: RefusedChange) -> Self {
        Self::Fd { op, fd, source: io::Error::from_raw_os_error(errno) }
    }
}

/// One descriptor's readiness. Bits nobody asked for may be set; the base masks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FdReady {
    pub(crate) fd: RawFd,
    pub(crate) ready: Ready,
}

/// What the base asks of a mechanism.
pub(crate) trait Backend: Send {
    /// The name of its [`BackendKind`].
    fn name(&self) -> &'static str;

    /// What it can do.
    fn features(&self) -> Features;

    /// Places of the array that one wait fills; 0 if it has none.
    fn event_capacity(&self) -> usize {
        0
    }

    /// Brings the kernel in line at once, change by change; what it refuses is appended to
    /// `refused`.
    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>);

    /// Waits at most `timeout` (`None` is forever) and appends what is ready.
    ///
    /// An interrupted wait is an empty one.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<FdReady>) -> io::Result<()>;

    /// Both, in one system call where the mechanism can; does not block if anything was refused.
    fn apply_and_wait(
        &mut self,
        changes: &[Change],
        refused: &mut Vec<RefusedChange>,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<()> {
        let before = refused.len();
        self.apply(changes, refused);
        let timeout = if refused.len() > before { Some(Duration::ZERO) } else { timeout };
        self.wait(timeout, ready)
    }
}
