//! TLS handshakes, as statistics count them.

use serde::Serialize;

/// The TLS handshakes of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HandshakeStats {
    /// Those that were done.
    pub done: u64,
    /// Those of them that resumed a session.
    pub resumed: u64,
    /// Times that one waited for the next turn, because others had taken their share of this one.
    pub deferred: u64,
    /// Those that failed, by reason.
    pub errors: HandshakeErrors,
}

/// TLS handshakes that failed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HandshakeErrors {
    /// They took too long.
    pub timeout: u64,
    /// The peer closed or reset the connection.
    pub closed: u64,
    /// The peer sent something else than TLS.
    pub not_tls: u64,
    /// The peer has no protocol version, cipher suite or other parameter that the server has.
    pub incompatible: u64,
    /// The client's certificate was missing or not accepted.
    pub certificate: u64,
    /// The peer has no application protocol (ALPN) that the server has.
    pub alpn: u64,
    /// The peer refused by an alert, such as one about the server's certificate.
    pub alert: u64,
    /// The peer broke the protocol in another way.
    pub other: u64,
}

impl HandshakeStats {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            done: self.done + other.done,
            resumed: self.resumed + other.resumed,
            deferred: self.deferred + other.deferred,
            errors: self.errors.plus(other.errors),
        }
    }
}

impl HandshakeErrors {
    /// Each reason by its name.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, u64); 8] {
        [
            ("timeout", self.timeout),
            ("closed", self.closed),
            ("not_tls", self.not_tls),
            ("incompatible", self.incompatible),
            ("certificate", self.certificate),
            ("alpn", self.alpn),
            ("alert", self.alert),
            ("other", self.other),
        ]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            timeout: self.timeout + other.timeout,
            closed: self.closed + other.closed,
            not_tls: self.not_tls + other.not_tls,
            incompatible: self.incompatible + other.incompatible,
            certificate: self.certificate + other.certificate,
            alpn: self.alpn + other.alpn,
            alert: self.alert + other.alert,
            other: self.other + other.other,
        }
    }
}
