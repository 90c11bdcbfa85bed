//! Why a handshake failed, as statistics count it.

use std::io;

use crate::server::stats::HandshakeErrors;
use crate::tls::{TlsError, TlsFailure};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The peer closed or reset the connection.
    Closed,
    /// By what the peer sent.
    Tls(TlsFailure),
}

impl HandshakeFailure {
    pub(super) fn of(error: &io::Error) -> Self {
        match TlsError::inside(error) {
            Some(TlsError::Protocol { kind, .. }) => Self::Tls(*kind),
            _ => Self::Closed,
        }
    }

    pub(super) fn count(self, errors: &mut HandshakeErrors) {
        *match self {
            Self::Timeout => &mut errors.timeout,
            Self::Closed => &mut errors.closed,
            Self::Tls(TlsFailure::NotTls) => &mut errors.not_tls,
            Self::Tls(TlsFailure::Incompatible) => &mut errors.incompatible,
            Self::Tls(TlsFailure::Certificate) => &mut errors.certificate,
            Self::Tls(TlsFailure::Alpn) => &mut errors.alpn,
            Self::Tls(TlsFailure::Alert) => &mut errors.alert,
            Self::Tls(TlsFailure::Other) => &mut errors.other,
        } += 1;
    }
}
