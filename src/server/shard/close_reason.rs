//! Why a connection is closed early, and whether its peer gets a reset.

use std::io;

use super::connection::Connection;
use crate::server::service::OutputFailure;
use crate::server::stats::ConnectionErrors;
use crate::tls::TlsError;

/// Why a connection was closed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
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

impl From<OutputFailure> for CloseReason {
    #[cold]
    #[inline(never)] // or a jump table stands in the way of each call
    fn from(failure: OutputFailure) -> Self {
        match failure {
            OutputFailure::Broken => Self::Broken,
            OutputFailure::Tls => Self::Tls,
            OutputFailure::TooLarge => Self::TooLarge,
            OutputFailure::NoMemory => Self::NoMemory,
        }
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
    pub(super) fn is_orderly(self, connection: &Connection) -> bool {
        match self {
            Self::FirstByte | Self::Idle => !connection.has_pending_output(),
            Self::Handshake | Self::Tls => true,
            _ => false,
        }
    }
}
