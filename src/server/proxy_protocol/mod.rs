//! The PROXY protocol, versions 1 and 2: the header by which a proxy tells whom it speaks for.
//!
//! As HAProxy's `proxy-protocol.txt` has it. Pure: bytes in, what they are out. It is asked again
//! with all bytes so far whenever more have come; waiting for them, and for how long, is the
//! worker's.
//!
//! The crate `ppp` is the judge in our tests and not the parser. Version 2.3 takes a line that was
//! cut before its last port for a wrong one, never sees the end of an `UNKNOWN` line of many words,
//! takes `+80` for a port, demands addresses of `LOCAL`, and leaves the checksum to its caller:
//! around it, what is left to do here would be as long.

mod crc32c;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use super::config::ProxyProtocol;

/// The longest header that is taken. The addresses are at most 216 bytes; what proxies add to
/// them, names, identifiers and fields of certificates, is hundreds. The format allows 64 KiB,
/// which nobody needs and a connection must not be able to hold.
pub(super) const HEADER_BYTES_MAX: usize = 4096;

/// What a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A header so far, or too few to tell: ask again with more. Never so many as
    /// [`HEADER_BYTES_MAX`].
    Incomplete,
    /// A whole header.
    Header {
        /// Its length. What follows is the service's.
        consumed: usize,
        /// Whose connection it is, and where it was going; `None` if the proxy speaks for itself
        /// (`LOCAL`, a health check), does not know, or names other than TCP endpoints. Then the
        /// connection's own ends count.
        endpoints: Option<Endpoints>,
    },
    /// No header begins so: all bytes are the service's.
    Absent,
    /// They begin like a header, and are none. What is wrong with it.
    Invalid(&'static str),
}

/// The two ends of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// The client's.
    pub(super) source: SocketAddr,
    /// The address the client connected to.
    pub(super) destination: SocketAddr,
}

/// What a header says, or what is wrong with it.
type HeaderResult = Result<Option<Endpoints>, &'static str>;

impl Parsed {
    fn whole(consumed: usize, said: HeaderResult) -> Self {
        match said {
            Ok(endpoints) => Self::Header { consumed, endpoints },
            Err(reason) => Self::Invalid(reason),
        }
    }
}

/// Looks at all that has come of a connection so far.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.starts_with(v1::PREFIX) {
        v1::parse(bytes)
    } else if bytes.starts_with(v2::SIGNATURE) {
        v2::parse(bytes)
    } else if v1::PREFIX.starts_with(bytes) || v2::SIGNATURE.starts_with(bytes) {
        Parsed::Incomplete
    } else {
        Parsed::Absent
    }
}

/// Whether a header of this peer is believed. `None` is a peer on a unix socket, whose permissions
/// say who may connect. An IPv4 address counts as such when a socket of both families tells it as
/// an IPv6 one.
pub(super) fn is_trusted(peer: Option<IpAddr>, proxy: &ProxyProtocol) -> bool {
    let Some(peer) = peer else { return true };
    let peer = peer.to_canonical();
    proxy.trusted.iter().any(|net| net.contains(&peer))
}
