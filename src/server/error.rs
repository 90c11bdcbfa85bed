//! The error of the server: which operation failed, on what, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::accept::listen_advice;
use crate::error::exhaustion_advice;
use crate::server::failure::ThreadFailure;

/// What can go wrong in the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of an event base failed.
    #[error(transparent)]
    Base(#[from] crate::error::Error),

    /// A number or a duration of the configuration is out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),

    /// A system call failed that concerns no particular address.
    #[error("{op}: {source}{}", exhaustion_advice(.source))]
    Os {
        /// The operation.
        op: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },

    /// The server could not listen on its address.
    #[error("cannot listen on {address}: {source}{}", listen_advice(.address, .source))]
    Listen {
        /// The requested address, as it was written.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },

    /// A listener has TLS, and the configuration has no certificate for it.
    #[error(
        "cannot serve TLS on {address}: the server has no certificate; give it one and its key \
         (--tls-cert, --tls-key), or listen without TLS"
    )]
    NoCertificate {
        /// The address.
        address: String,
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

    /// The event loop of a thread ended with an error, or could not begin.
    #[error("{0}; if a sandbox refuses a call, allow it there, or choose another backend")]
    Ended(ThreadFailure),

    /// A thread of the server panicked.
    #[error("thread {thread} panicked: {message}")]
    Panicked {
        /// The thread's name.
        thread: String,
        /// The panic's message.
        message: String,
    },
}

/// A number or a duration of a configuration that is out of its
/// [range](crate::server::ranges).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}; choose from {least} to {most}")]
pub struct OutOfRange {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) least: String,
    pub(super) most: String,
}

impl Error {
    pub(super) fn os(op: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { op, source }
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
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::UnexpectedEof => {
            "; it ended before it had sent its sockets: if no server is left, start without \
             --upgrade-from"
        }
        _ => exhaustion_advice(source),
    }
}

/// `std::result::Result` with the server's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
