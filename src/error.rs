//! The one error of the library: which operation failed, on what, and what to do about it.

use std::io;
use std::os::fd::RawFd;

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
        /// The descriptor it was about.
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

    /// The event was freed before.
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

    /// The base of a [`Remote`](crate::Remote) no longer exists.
    #[error("the event base is gone; nothing will run the posted closure")]
    BaseGone,

    /// The server could not listen on its address.
    #[error("cannot listen on {address}: {source}{}", listen_advice(.source))]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },

    /// A thread of the server panicked; the message is what it said.
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

/// What to do about a failed bind or listen, as the end of the sentence.
fn listen_advice(source: &io::Error) -> &'static str {
    match source.kind() {
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

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
