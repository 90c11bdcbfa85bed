//! Backends: turn net changes of interest into kernel calls, and kernel results into readiness.
//!
//! A backend is a leaf. It handles descriptors, not events, and does not use the base above it. It
//! appends ready descriptors to the caller's buffer and never calls out.

mod epoll;
mod flush;
mod mask;
mod poll;
mod rotation;
mod select;
mod transient;
mod uring;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Interest, Ready};
pub(crate) use transient::is_transient;

bitflags::bitflags! {
    /// What a backend can do (libevent: `enum event_method_feature`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u8 {
        /// Edge-triggered events (`EV_FEATURE_ET`).
        const EDGE = 0x01;
        /// The cost per event does not grow with the number of watched descriptors
        /// (`EV_FEATURE_O1`).
        const O1 = 0x02;
        /// Any descriptor, regular files included, which are always ready (`EV_FEATURE_FDS`).
        const FDS = 0x04;
        /// The peer's close is reported without reading the data before it
        /// (`EV_FEATURE_EARLY_CLOSE`).
        const EARLY_CLOSE = 0x08;
    }
}

/// The backends, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// `epoll(7)`: edge and level triggered, O(1) per event; refuses regular files.
    Epoll,
    /// io_uring polls: edge and level triggered, O(1) per event, any descriptor. All changes and
    /// the wait of a turn are one system call. Not every kernel and sandbox allows it. If you
    /// close a descriptor before you delete its event, the file stays open until the deletion.
    IoUring,
    /// `poll(2)`: any descriptor; the cost of a wait grows with the number of descriptors.
    Poll,
    /// `pselect6(2)`: any descriptor, even above 1023; does not report the peer's close.
    Select,
}

impl BackendKind {
    /// Every kind, most preferred first.
    pub const ALL: &'static [Self] = &[Self::Epoll, Self::IoUring, Self::Poll, Self::Select];

    /// The backend's name, as [`by_name`](Self::by_name) accepts it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
            Self::Poll => "poll",
            Self::Select => "select",
        }
    }

    /// The kind with this name, or `None`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The features it supports.
    #[must_use]
    pub fn features(self) -> Features {
        match self {
            Self::Epoll => Features::EDGE | Features::O1 | Features::EARLY_CLOSE,
            Self::IoUring => Features::all(),
            Self::Poll => Features::FDS | Features::EARLY_CLOSE,
            Self::Select => Features::FDS,
        }
    }

    /// Every kind that this machine allows. A test that lacks one is reported as partly skipped.
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
/// With the deferred changelist the base flushes the changes of a turn together. Through io_uring
/// (`IORING_OP_EPOLL_CTL`) a flush is one system call. That costs more than `epoll_ctl(2)` for one
/// or two changes, and less from four on; `src/backend/flush.rs` has the measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangelistFlush {
    /// Through io_uring from eight changes on, if the kernel allows it; otherwise by `epoll_ctl`.
    ///
    /// The first flush of eight or more changes opens the ring. If the kernel refuses it, the
    /// backend uses `epoll_ctl` from then on, without an error.
    #[default]
    Auto,
    /// Always one `epoll_ctl(2)` per change.
    EpollCtl,
    /// Always one `io_uring_enter(2)` per flush (per 256 changes of it). Creating the base fails
    /// where the kernel refuses io_uring.
    IoUring,
}

/// One descriptor's net change of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) fd: RawFd,
    /// What the kernel watches now.
    pub(crate) old: Interest,
    /// What it watches from now on.
    pub(crate) new: Interest,
    /// Whether to report edges instead of the level.
    pub(crate) edge: bool,
    /// Whether `old` was registered to be reported once.
    pub(crate) was_once: bool,
    /// Whether to report once only, until the next change of this descriptor.
    pub(crate) once: bool,
    /// Whether the kernel watches `old` by the other trigger than `edge` says.
    pub(crate) was_other_trigger: bool,
    /// `old` is empty, but the kernel may still hold a registration that a report disarmed.
    pub(crate) disarmed: bool,
}

#[cfg(test)]
impl Change {
    /// A plain level-triggered change.
    pub(crate) fn of(fd: RawFd, old: Interest, new: Interest) -> Self {
        Self { fd, old, new, ..Self::default() }
    }
}

/// A change that the kernel refused; the backend no longer watches the descriptor.
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

/// One descriptor's readiness. It may have bits outside the interest; the base masks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FdReady {
    pub(crate) fd: RawFd,
    pub(crate) ready: Ready,
}

/// How much of what is ready a wait reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// Everything.
    All,
    /// As much as one wait can report. More may be ready.
    Part,
}

/// What the base needs from a backend.
pub(crate) trait Backend: Send {
    /// The name of its [`BackendKind`].
    fn name(&self) -> &'static str;

    /// The features it supports.
    fn features(&self) -> Features;

    /// Entries of the array that one wait fills; 0 if it has none.
    fn event_capacity(&self) -> usize {
        0
    }

    /// Whether the kernel forgets a descriptor by itself when its last copy is closed.
    fn forgets_closed(&self) -> bool {
        false
    }

    /// A descriptor that is readable when something is ready, for the loop of another library.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Makes the descriptor show what is ready from now on. Returns whether there is more, which
    /// the next wait reports.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    fn arm(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// From now on, reports a watched descriptor that was closed as ready, once. Only poll can.
    fn report_closed(&mut self) {}

    /// Applies all changes at once; appends those that the kernel refuses to `refused`.
    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>);

    /// Waits at most `timeout` (`None` is forever) and appends the ready descriptors.
    ///
    /// # Errors
    ///
    /// The kernel's, an interruption included. The base may wait again, at once if the error
    /// [is transient](is_transient). What was appended is ready also after an error.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<FdReady>)
    -> io::Result<Reported>;

    /// Applies and waits, in one system call if possible; does not block if a change was refused.
    fn apply_and_wait(
        &mut self,
        changes: &[Change],
        refused: &mut Vec<RefusedChange>,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        if changes.is_empty() {
            return self.wait(timeout, ready);
        }
        let before = refused.len();
        self.apply(changes, refused);
        let timeout = if refused.len() > before { Some(Duration::ZERO) } else { timeout };
        self.wait(timeout, ready)
    }
}
