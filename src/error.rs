//! The library's error: which operation failed, on what, and what to do about it.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::event::EventId;

/// What can go wrong in the event base and the server.
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
    #[error("{op}: {source}")]
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

    /// The server could not listen on its address.
    #[error("cannot listen on {address}: {source}{}", listen_advice(.address, .source))]
    Listen {
        /// The requested address, as it was written.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },

    /// Other machines could have reached the admin, which the configuration does not allow.
    #[error(
        "the admin on {address} would let other machines read and end this server; give it an \
         address of 127.0.0.0/8, [::1] or unix:PATH, or allow it with --admin-remote"
    )]
    AdminRemote {
        /// The requested address.
        address: std::net::SocketAddr,
    },

    /// A service manager passed sockets that the server cannot listen on.
    #[error("cannot use the sockets of LISTEN_FDS: {problem}")]
    Inherited {
        /// Which, and why.
        problem: String,
    },

    /// The server could not take over the listening sockets of a running server.
    #[error("cannot take over the sockets offered at {}: {source}{}",
            .path.display(), take_over_advice(.source))]
    TakeOver {
        /// The running server's upgrade socket.
        path: PathBuf,
        /// The error of the kernel or of the running server.
        source: io::Error,
    },

    /// A thread of the server panicked.
    #[error("thread {thread} panicked: {message}")]
    Panicked {
        /// The thread's name.
        thread: String,
        /// The panic's message.
        message: String,
    },
}

impl Error {
    pub(crate) fn os(op: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { op, source }
    }
}

/// The reason against each backend, as the end of the sentence.
fn reasons(passed_over: &[(&str, String)]) -> String {
    let reasons = passed_over.iter().map(|(name, why)| format!("{name}: {why}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// What to do about a failed bind or listen, as the end of the sentence.
fn listen_advice(address: &str, source: &io::Error) -> &'static str {
    let is_path = address.starts_with("unix:");
    match source.kind() {
        io::ErrorKind::AddrInUse if is_path => {
            "; stop the program that listens there, or choose another path"
        }
        io::ErrorKind::AlreadyExists if is_path => {
            "; what stands there is no socket: remove it, or choose another path"
        }
        io::ErrorKind::NotFound if is_path => "; create its folder first",
        io::ErrorKind::PermissionDenied if is_path => {
            "; choose a folder in which this user may create files"
        }
        io::ErrorKind::InvalidInput if is_path => "; a socket's path has at most 107 bytes",
        io::ErrorKind::AddrInUse => {
            "; stop the program that uses it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has the address, 0.0.0.0 takes them all"
        }
        _ => "",
    }
}

/// What to do about sockets that could not be taken over, as the end of the sentence.
fn take_over_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; no server offers sockets there: start without --upgrade-from"
        }
        io::ErrorKind::PermissionDenied => "; run as the user that runs the other server",
        io::ErrorKind::TimedOut => "; the other server goes on as before: try again",
        _ => "",
    }
}

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
