//! What a handshake agreed on.

/// The result of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// "1.2" or "1.3".
    pub(crate) version: &'static str,
    /// Its name in IANA's registry, such as TLS_AES_256_GCM_SHA384.
    pub(crate) cipher_suite: String,
    /// The protocol that the server chose (ALPN).
    pub(crate) alpn: Option<String>,
    /// Whether it resumed an earlier session.
    pub(crate) is_resumed: bool,
}
