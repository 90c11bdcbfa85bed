//! Why a dial led to no connection.

use std::io;
use std::path::PathBuf;

use super::super::close_reason::CloseReason;
use crate::connect::ConnectError;

/// Why a dial led to no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The lookup or the connect failed, or took too long.
    #[error(transparent)]
    Connect(#[from] ConnectError),

    /// A unix socket cannot be connected to.
    #[error("connect to unix:{}: {source}; check that a server listens there", .path.display())]
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The TLS handshake failed. The source may be a [`TlsError`](crate::tls::TlsError).
    #[error("TLS with {peer}: {source}")]
    Tls {
        /// What was dialed.
        peer: String,
        /// What went wrong.
        source: io::Error,
    },

    /// The server closed the connection before the handshake was done.
    #[error("the connection was closed during its handshake: {0}")]
    Closed(CloseReason),

    /// As many connections are open as the server allows.
    #[error("the server has as many connections as it may; raise its connection limit")]
    TooManyConnections,

    /// The server drains, and its time is over.
    #[error("the server drains, and dials no more")]
    Draining,
}
