//! Backends: turn net changes of interest into kernel calls, and kernel results into readiness.
//!
//! A backend is a leaf. It knows descriptors, not events, and nothing of the base above it; it
//! appends what is ready to the caller's buffer and never calls out.

mod epoll;
#[cfg(test)]
pub(crate) mod scripted;

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Interest, Ready};

/// The mechanisms there are, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendKind {
    /// `epoll(7)`: Linux, edge and level triggered, O(1) per event.
    Epoll,
}

impl BackendKind {
    /// Every kind, most preferred first.
    pub const ALL: &'static [Self] = &[Self::Epoll];

    /// The name it is asked for by, and reports itself as.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    pub(crate) fn open(self) -> Result<Box<dyn Backend>> {
        match self {
            Self::Epoll => epoll::EpollBackend::new()
                .map(|backend| Box::new(backend) as Box<dyn Backend>)
                .map_err(Error::os("epoll_create1")),
        }
    }
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
}

/// A change that the kernel did not take; the backend watches the descriptor no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) fd: RawFd,
    pub(crate) op: &'static str,
    pub(crate) errno: i32,
}

impl From<Refusal> for Error {
    fn from(Refusal { fd, op, errno }: Refusal) -> Self {
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

    /// Brings the kernel in line, change by change; what it refuses is appended to `refused`.
    fn apply(&mut self, changes: &[Change], refused: &mut Vec<Refusal>);

    /// Waits at most `timeout` (`None` is forever) and appends what is ready.
    ///
    /// An interrupted wait is an empty one.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<FdReady>) -> io::Result<()>;
}
