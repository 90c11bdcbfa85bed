//! Why a handshake failed.

use std::fmt;
use std::io;

use rustls::CertificateError;
use serde::{Deserialize, Serialize};

/// The kinds of reason, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureCause {
    /// The server's certificate was not accepted here.
    Certificate,
    /// The server sent an alert: it did not accept something.
    Alert,
    /// The server closed or reset the connection, without a reason.
    Closed,
    /// The handshake took longer than the timeout.
    Timeout,
    /// What the server sent was not TLS.
    NotTls,
    /// Any other violation of the protocol, or error of the socket.
    Other,
}

impl FailureCause {
    /// The cause as a clause.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Certificate => "the server's certificate was not accepted",
            Self::Alert => "the server sent an alert",
            Self::Closed => "the server closed the connection",
            Self::Timeout => "the server did not answer in time",
            Self::NotTls => "the server sent something else than TLS",
            Self::Other => "another error",
        }
    }
}

/// Why one handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandshakeFailure {
    pub(crate) cause: FailureCause,
    /// What the server, the library or the kernel said.
    pub(crate) words: String,
    /// What may help, if that is known.
    pub(crate) remedy: Option<&'static str>,
}

impl HandshakeFailure {
    /// The server has closed the connection.
    pub(super) fn closed() -> Self {
        Self {
            cause: FailureCause::Closed,
            words: "the server closed the connection".to_owned(),
            remedy: Some("does the server speak TLS there? Its log may say why it closed"),
        }
    }

    /// The handshake took longer than the timeout.
    pub(crate) fn timeout() -> Self {
        Self {
            cause: FailureCause::Timeout,
            words: "no answer within the timeout".to_owned(),
            remedy: Some(
                "does the server speak TLS there? A --timeout above that gives it more \
                          time",
            ),
        }
    }
}

/// The words, and what may help.
impl fmt::Display for HandshakeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)?;
        self.remedy.map_or(Ok(()), |remedy| write!(formatter, "; {remedy}"))
    }
}

impl From<rustls::Error> for HandshakeFailure {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error;
        let (cause, remedy) = match &error {
            Error::InvalidCertificate(why) => (FailureCause::Certificate, of_certificate(why)),
            Error::AlertReceived(alert) => (FailureCause::Alert, of_alert(*alert)),
            Error::InvalidMessage(_) => (
                FailureCause::NotTls,
                Some("does the server speak TLS there? Without --tls it is loaded in plain text"),
            ),
            Error::PeerIncompatible(_) => (
                FailureCause::Other,
                Some("the server needs TLS 1.2 or 1.3 with a cipher suite of ring"),
            ),
            _ => (FailureCause::Other, None),
        };
        Self { cause, words: error.to_string(), remedy }
    }
}

/// An error of the socket, or of TLS inside one.
impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                let is_closed = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                );
                let cause = if is_closed { FailureCause::Closed } else { FailureCause::Other };
                Self { cause, words: error.to_string(), ..Self::closed() }
            }
        }
    }
}

fn of_certificate(why: &CertificateError) -> Option<&'static str> {
    use CertificateError as Why;
    match why {
        Why::UnknownIssuer => Some(
            "name the certificate that issued the server's with --tls-ca FILE; --tls-insecure \
             verifies nothing",
        ),
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            Some("name the server as its certificate does, with --tls-sni NAME")
        }
        Why::Expired | Why::ExpiredContext { .. } => {
            Some("renew it, or look at the clock of this machine; --tls-insecure verifies nothing")
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            Some("look at the clock of this machine; --tls-insecure verifies nothing")
        }
        Why::Other(_) => Some(
            "a server must not present the certificate of an authority (CA:TRUE) as its own; \
             --tls-insecure verifies nothing",
        ),
        _ => Some("--tls-insecure verifies nothing"),
    }
}

fn of_alert(alert: rustls::AlertDescription) -> Option<&'static str> {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => {
            Some("the server wants a certificate of the client: --tls-cert FILE --tls-key FILE")
        }
        Alert::HandshakeFailure => Some(
            "the server accepts no version or cipher suite that was offered, or wants a \
             certificate of the client: --tls-cert FILE --tls-key FILE",
        ),
        Alert::BadCertificate
        | Alert::UnknownCA
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::AccessDenied => {
            Some("the server did not accept the client's certificate (--tls-cert)")
        }
        Alert::NoApplicationProtocol => {
            Some("offer a protocol that the server has, with --tls-alpn NAME")
        }
        Alert::ProtocolVersion => Some("the server needs another version; see --tls-min-version"),
        Alert::UnrecognisedName => {
            Some("name the server as its certificate does, with --tls-sni NAME")
        }
        _ => None,
    }
}
