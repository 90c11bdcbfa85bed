//! The error of the event base: which operation failed, on what, and what to do about it.

use std::io;
use std::os::fd::RawFd;

use crate::event::EventId;

/// What can go wrong in the event base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a descriptor failed.
    #[error("{op} on fd {fd}: {source}")]
    Fd {
        /// The system call, with its operation where it has several.
        op: &'static str,
        /// The descriptor.
        fd: RawFd,
        /// The kernel's reason.
        source: io::Error,
    },

    /// A system call that concerns no particular descriptor failed.
    #[error("{op}: {source}{}", exhaustion_advice(.source))]
    Os {
        /// The system call.
        op: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },

    /// The id is of an event that was freed.
    #[error("event {0} was freed; create a new one instead of using its id again")]
    Stale(EventId),

    /// Level- and edge-triggered events cannot share a descriptor.
    #[error(
        "fd {fd} already has {present}-triggered events; \
         all events of one descriptor must be of one kind"
    )]
    MixedTrigger {
        /// The descriptor.
        fd: RawFd,
        /// The kind it has: "edge" or "level".
        present: &'static str,
    },

    /// One descriptor can have at most 65,535 events of a kind.
    #[error("fd {fd} already has 65535 events of this kind; share one event among them")]
    TooManyEvents {
        /// The descriptor.
        fd: RawFd,
    },

    /// The base cannot wait for the signal.
    #[error("{op} for signal {number}: {source}; signal(7) lists those that can be caught")]
    Signal {
        /// The system call.
        op: &'static str,
        /// The signal's number.
        number: i32,
        /// The kernel's reason.
        source: io::Error,
    },

    /// The backend does not support a feature that an event needs.
    #[error(
        "the backend {backend} does not support {what}; \
         require the feature when making the base, or add an event without it"
    )]
    Unsupported {
        /// The backend's name.
        backend: &'static str,
        /// The unsupported feature.
        what: &'static str,
    },

    /// The loop of another library cannot wait for a base with this backend.
    #[error(
        "the backend {backend} has no descriptor that another loop could wait for; \
         make the base with epoll or io_uring"
    )]
    NotEmbeddable {
        /// The backend's name.
        backend: &'static str,
    },

    /// Every backend is excluded or failed to open.
    #[error("no backend is available: {}", reasons(.passed_over))]
    NoBackend {
        /// Every backend's name, and the reason it was not used.
        passed_over: Vec<(&'static str, String)>,
    },

    /// No backend has that name.
    #[error("unknown backend {name:?}; the backends are {known}")]
    UnknownBackend {
        /// The name that was parsed.
        name: String,
        /// The names of all backends.
        known: String,
    },

    /// The base has no such priority.
    #[error(
        "priority {priority} in a base with {priorities} priorities; \
         they count from 0, and Config::priorities sets their number"
    )]
    Priority {
        /// The priority that was requested.
        priority: u8,
        /// The number of priorities.
        priorities: u8,
    },

    /// An active event is in a queue and cannot change its priority.
    #[error("event {0} is active; change its priority before it is activated, or in its handler")]
    Active(EventId),

    /// The event cannot be one that is freed when it fires.
    #[error("a once event waits for a descriptor or a timeout, and does not persist")]
    NotOnce,

    /// A base has at most 256 common timeouts.
    #[error("the base has 256 common timeouts already; give this event one of its own")]
    TooManyTimeouts,

    /// The common timeout belongs to another base.
    #[error("the common timeout belongs to another base; create it with this one")]
    ForeignTimeout,

    /// The base of a [`Remote`](crate::Remote) no longer exists.
    #[error("the event base is gone; nothing will run the posted closure")]
    BaseGone,
}

impl Error {
    pub(crate) fn os(op: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { op, source }
    }
}

/// What to do about a resource of the process or the system that is exhausted, as the end of the
/// sentence. Empty for all other errors.
pub(crate) fn exhaustion_advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EMFILE) => "; raise the limit of open files (ulimit -n)",
        Some(libc::ENFILE) => "; raise the system's limit of open files (sysctl fs.file-max)",
        // Of the calls without a descriptor, those that make a thread.
        Some(libc::EAGAIN) => "; raise the limit of threads (ulimit -u, pids.max of the cgroup)",
        Some(libc::ENOMEM) => "; free memory, or raise its limit (ulimit -v, the cgroup's memory)",
        _ => "",
    }
}

/// The reason against each backend, as the end of the sentence.
fn reasons(passed_over: &[(&str, String)]) -> String {
    let reasons = passed_over.iter().map(|(name, why)| format!("{name}: {why}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
