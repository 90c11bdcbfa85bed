//! What goes wrong with TLS, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::exhaustion_advice;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What can go wrong with TLS: with files and settings at the start, or with a peer.
///
/// The error of a bufferevent, which [`take_error`](crate::BuffereventMut::take_error) returns,
/// has one of these inside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("read {}: {source}{}", .path.display(), read_advice(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },

    /// There is no certificate where one must be.
    #[error("find a certificate in {place}: it has none; it needs a PEM section CERTIFICATE")]
    NoCertificate {
        /// The file, or what was passed.
        place: String,
    },

    /// There is no private key where one must be.
    #[error(
        "find a private key in {place}: it has none; it needs a PEM section PRIVATE KEY, \
         RSA PRIVATE KEY or EC PRIVATE KEY, which no passphrase protects"
    )]
    NoKey {
        /// The file, or what was passed.
        place: String,
    },

    /// A passphrase protects the private key.
    #[error(
        "use the private key of {place}: a passphrase protects it, for which nothing asks; \
         remove the passphrase (openssl pkey -in OLD -out NEW)"
    )]
    LockedKey {
        /// The file, or what was passed.
        place: String,
    },

    /// The text is no PEM.
    #[error("read PEM from {place}: {reason}; convert the file to PEM, or copy it again")]
    BadPem {
        /// The file, or what was passed.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A certificate cannot be used.
    #[error("use a certificate of {place}: {reason}; replace the certificate")]
    BadCertificate {
        /// The file, or what was passed.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A private key cannot be used.
    #[error(
        "use the private key of {place}: {reason}; use an RSA key of 2,048 to 4,096 bits, \
         an ECDSA key of P-256 or P-384, or an Ed25519 key"
    )]
    BadKey {
        /// The file, or what was passed.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The private key is that of another certificate.
    #[error(
        "use the private key of {key} with the certificate of {certificate}: they do not belong \
         together; pass the key for which the certificate was issued, and that certificate first"
    )]
    KeyMismatch {
        /// Where the certificate is from.
        certificate: String,
        /// Where the key is from.
        key: String,
    },

    /// A certificate is not for the host name for which it was added.
    #[error(
        "use the certificate of {place} for {name}: it is not for that name; \
         pass a certificate that has the name, or the name that it has"
    )]
    NameMismatch {
        /// The host name, perhaps with a wildcard.
        name: String,
        /// Where the certificate is from.
        place: String,
    },

    /// A host name is none.
    #[error("use {name:?} as a host name: it is none; pass a name as example.org, or an address")]
    BadName {
        /// The name.
        name: String,
    },

    /// The system has no trusted certificates.
    #[error(
        "find the system's trusted certificates: {reason}; \
         install the package ca-certificates, or pass a file of your own"
    )]
    NoSystemRoots {
        /// Why none were found.
        reason: String,
    },

    /// A protocol of ALPN cannot be used.
    #[error("offer the ALPN protocol {name:?}: it must have 1 to 255 bytes; correct the name")]
    BadAlpn {
        /// The protocol's name.
        name: String,
    },

    /// The settings do not fit together.
    #[error("set up TLS: {reason}; change the settings of the builder")]
    Settings {
        /// Why not.
        reason: String,
    },

    /// The handshake failed, or the peer broke the protocol afterwards.
    #[error("{during}: {reason}; {advice}")]
    Protocol {
        /// The kind of failure.
        kind: TlsFailure,
        /// `TLS handshake` or `TLS connection`.
        during: &'static str,
        /// What went wrong.
        reason: String,
        /// What to check.
        advice: &'static str,
    },

    /// The peer ended its stream within the handshake.
    #[error(
        "TLS handshake: the peer closed the connection; \
         check the peer's log, and that it speaks TLS 1.2 or 1.3 on this port"
    )]
    ClosedInHandshake,

    /// The handshake took too long.
    #[error(
        "TLS handshake: not finished within {timeout:?}; \
         check that the peer speaks TLS on this port, or allow more time"
    )]
    HandshakeTimedOut {
        /// The time that was allowed.
        timeout: Duration,
    },

    /// Bytes were to move although the handshake is not done, because it failed.
    #[error("TLS connection: its handshake was not done; connect again")]
    NotConnected,

    /// The peer's stream ended without a close_notify alert.
    #[error(
        "TLS connection: the stream was truncated, as it ended without close_notify; \
         do not trust that all bytes came, or allow this if the protocol above marks its end"
    )]
    Truncated,

    /// Something was to be sent after the end of the stream was.
    #[error("TLS connection: the stream to the peer has ended; write before you end it")]
    Ended,
}

/// What can fail between two peers of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// What the peer sends is no TLS.
    NotTls,
    /// The two have no protocol version, cipher suite or other parameter in common.
    Incompatible,
    /// The peer's certificate is missing, or is not accepted.
    Certificate,
    /// The two have no application protocol (ALPN) in common.
    Alpn,
    /// The peer ended the connection by an alert.
    Alert,
    /// Something else breaks the protocol.
    Other,
}

impl TlsFailure {
    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            rustls::Error::PeerIncompatible(_) => Self::Incompatible,
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Self::Certificate
            }
            rustls::Error::NoApplicationProtocol => Self::Alpn,
            rustls::Error::AlertReceived(_) => Self::Alert,
            _ => Self::Other,
        }
    }
}

impl TlsError {
    /// The one inside an error of a stream.
    #[cfg(feature = "server")]
    pub(crate) fn inside(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What rustls reports about a peer.
    pub(crate) fn protocol(error: &rustls::Error, in_handshake: bool) -> Self {
        let during = if in_handshake { "TLS handshake" } else { "TLS connection" };
        let (kind, reason) = (TlsFailure::of(error), error.to_string());
        Self::Protocol { kind, during, reason, advice: advice(error) }
    }

    /// Settings that rustls refuses.
    pub(crate) fn settings(error: impl ToString) -> Self {
        Self::Settings { reason: error.to_string() }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Truncated => io::ErrorKind::UnexpectedEof,
            Self::ClosedInHandshake => io::ErrorKind::ConnectionAborted,
            Self::HandshakeTimedOut { .. } => io::ErrorKind::TimedOut,
            Self::NotConnected => io::ErrorKind::NotConnected,
            Self::Ended => io::ErrorKind::BrokenPipe,
            Self::Protocol { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::InvalidInput,
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What to do about a file that could not be read, as the end of the sentence.
fn read_advice(source: &io::Error) -> &'static str {
    match exhaustion_advice(source) {
        "" if source.raw_os_error().is_none() => "; name a PEM file",
        "" => "; check the path and its permissions",
        advice => advice,
    }
}

/// What to check about an error.
fn advice(error: &rustls::Error) -> &'static str {
    use CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "renew the peer's certificate, and check the clock of this machine"
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "check the clock of this machine"
            }
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                "check that the peer sends its whole chain, or trust the authority that issued it"
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "connect by a name that the certificate has"
            }
            _ => "replace the peer's certificate",
        },
        rustls::Error::NoCertificatesPresented => "give the peer a certificate",
        rustls::Error::NoApplicationProtocol => "offer an ALPN protocol that the peer has",
        rustls::Error::PeerIncompatible(_) => {
            "enable a protocol version and a cipher suite that both sides have"
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "check that the peer speaks TLS on this port"
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
                "make the peer trust the authority of our certificate"
            }
            AlertDescription::CertificateRequired => "configure a client certificate",
            AlertDescription::NoApplicationProtocol => "offer an ALPN protocol that the peer has",
            AlertDescription::UnrecognisedName => "connect by a name that the peer has",
            _ => "check the peer's log",
        },
        _ => "check the peer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_operation_its_object_and_what_to_do() {
        let mismatch = TlsError::KeyMismatch { certificate: "a.pem".into(), key: "b.key".into() };
        assert_eq!(
            mismatch.to_string(),
            "use the private key of b.key with the certificate of a.pem: they do not belong \
             together; pass the key for which the certificate was issued, and that certificate \
             first"
        );
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let expired = TlsError::protocol(&expired, true).to_string();
        assert!(expired.starts_with("TLS handshake: "), "{expired}");
        assert!(
            expired.ends_with(
                "; renew the peer's certificate, and check the clock of this \
            machine"
            ),
            "{expired}"
        );
    }

    #[test]
    fn a_lack_of_descriptors_was_said_to_be_a_wrong_path() {
        let advice = |source| TlsError::Read { path: "a.pem".into(), source }.to_string();
        let missing = advice(io::Error::from_raw_os_error(libc::ENOENT));
        assert!(missing.ends_with("; check the path and its permissions"), "{missing}");
        let exhausted = advice(io::Error::from_raw_os_error(libc::EMFILE));
        assert!(exhausted.ends_with("; raise the limit of open files (ulimit -n)"), "{exhausted}");
        let pipe = advice(io::Error::other("it is a named pipe"));
        assert_eq!(pipe, "read a.pem: it is a named pipe; name a PEM file");
    }

    #[test]
    fn a_truncated_stream_is_an_unexpected_end() {
        let error = io::Error::from(TlsError::Truncated);
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}
