//! What a handshake agreed on.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, Connection, HandshakeKind, ProtocolVersion};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What the handshake of a connection agreed on (libevent: what `bufferevent_openssl_get_ssl` is
/// asked for).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite, by its name in the IANA registry.
    pub cipher_suite: &'static str,
    /// The host name that the client asked for (SNI). An address is none.
    pub server_name: Option<String>,
    /// The application protocol that both sides have (ALPN), if they offered any.
    pub alpn: Option<Vec<u8>>,
    /// The peer's certificates in DER, its own first. A server has them if it asked for them.
    pub peer_certificates: Vec<Vec<u8>>,
    /// Whether the session of an earlier connection was resumed.
    pub is_resumed: bool,
}

impl TlsFacts {
    /// Those of a connection; `None` before its handshake is done.
    pub(crate) fn of(connection: &Connection, requested: Option<&str>) -> Option<Self> {
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        };
        let suite = connection.negotiated_cipher_suite()?.suite();
        let server_name = match connection {
            Connection::Client(_) => requested,
            Connection::Server(server) => server.server_name(),
        };
        let certificates = connection.peer_certificates().unwrap_or_default();
        let peer_certificates = certificates.iter().map(|one: &CertificateDer<'_>| one.to_vec());
        Some(Self {
            version,
            cipher_suite: registered_name(suite),
            server_name: server_name.map(str::to_owned),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: peer_certificates.collect(),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

/// The name of a cipher suite in the IANA registry. rustls has others for those of TLS 1.3.
fn registered_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}
