//! Why a connection is closed, and whether its peer gets a reset.

use std::fmt;
use std::io;

use super::connection_state::ConnectionState;
use crate::server::stats::ConnectionErrors;
use crate::tls::TlsError;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Its service closed it, or its peer ended its stream. All output was sent.
    Closed,
    /// The server drains, or the connection reached its maximum age. It was quiet.
    Drained,
    /// The peer reset it, or a call on it failed.
    Broken,
    /// The first byte did not arrive in time.
    FirstByte,
    /// Idle for too long.
    Idle,
    /// A message did not become complete in time.
    Message,
    /// A message or a reply exceeds the memory limit of a connection.
    TooLarge,
    /// The memory of all connections reached its limit, or the system has no memory.
    NoMemory,
    /// Its PROXY header is missing, invalid or not trusted.
    Proxy,
    /// Its TLS handshake failed.
    Handshake,
    /// Its peer broke TLS, or ended it by an alert, after the handshake.
    Tls,
    /// The stream of its peer ended without close_notify.
    Truncated,
    /// The source that its PROXY header names has as many connections as it may.
    SourceLimit,
    /// Its service panicked.
    Panicked,
    /// Its service aborted it.
    Aborted,
    /// The kernel refuses to watch it.
    Refused,
    /// The drain timeout is over.
    Cut,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed in order",
            Self::Drained => "the server drains, or the connection reached its maximum age",
            Self::Broken => "the peer reset it, or it broke",
            Self::FirstByte => "the first byte did not arrive in time",
            Self::Idle => "idle for too long",
            Self::Message => "a message did not become complete in time",
            Self::TooLarge => "a message or a reply exceeds the memory of a connection",
            Self::NoMemory => "out of memory",
            Self::Proxy => "no valid PROXY header",
            Self::Handshake => "the TLS handshake failed",
            Self::Tls => "the peer broke TLS",
            Self::Truncated => "the peer ended the stream without close_notify",
            Self::SourceLimit => "its source has too many connections",
            Self::Panicked => "the service panicked",
            Self::Aborted => "the service reset it",
            Self::Refused => "the kernel refuses to watch it",
            Self::Cut => "the drain timeout is over",
        })
    }
}

impl CloseReason {
    /// For a read or a write that failed.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match TlsError::inside(error) {
            None => Self::Broken,
            Some(TlsError::Truncated) => Self::Truncated,
            Some(_) => Self::Tls,
        }
    }

    pub(super) fn count(self, errors: &mut ConnectionErrors) {
        *match self {
            Self::Closed | Self::Drained => return,
            Self::Broken => &mut errors.broken,
            Self::FirstByte => &mut errors.first_byte,
            Self::Idle => &mut errors.idle,
            Self::Message => &mut errors.message,
            Self::TooLarge => &mut errors.too_large,
            Self::NoMemory => &mut errors.no_memory,
            Self::Proxy => &mut errors.proxy,
            Self::Handshake => &mut errors.handshake,
            Self::Tls => &mut errors.tls,
            Self::Truncated => &mut errors.truncated,
            Self::SourceLimit => &mut errors.source_limit,
            Self::Panicked => &mut errors.panicked,
            Self::Aborted => &mut errors.aborted,
            Self::Refused => &mut errors.refused,
            Self::Cut => &mut errors.cut,
        } += 1;
    }

    /// Whether an orderly end of stream is correct: the peer sent nothing incomplete and misses
    /// nothing, or an alert of TLS says what went wrong, which a reset could overtake.
    pub(super) fn is_orderly(self, connection: &ConnectionState) -> bool {
        match self {
            Self::Closed | Self::Drained => true,
            Self::FirstByte | Self::Idle => !connection.has_pending_output(),
            Self::Handshake | Self::Tls => true,
            _ => false,
        }
    }
}
