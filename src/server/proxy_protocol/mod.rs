//! The PROXY protocol, versions 1 and 2: the header by which a proxy passes on its client's
//! address.
//!
//! It follows HAProxy's `proxy-protocol.txt`. It is pure: bytes in, their meaning out. When more
//! bytes arrive, the worker calls it again with all bytes so far; the worker also limits the
//! waiting time.
//!
//! The crate `ppp` checks our tests and is not the parser. Version 2.3 rejects a line that was cut
//! before its last port, and never sees the end of an `UNKNOWN` line of many words. It accepts
//! `+80` as a port, demands addresses of `LOCAL`, and leaves the checksum to its caller. The code
//! to work around it would be as long as this.

mod crc32c;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use crate::server::config::ProxyProtocol;

/// The longest accepted header. The addresses are at most 216 bytes. What proxies add (names,
/// identifiers, fields of certificates) is hundreds of bytes. The format allows 64 KiB, which no
/// proxy needs and no connection may keep.
pub(super) const HEADER_BYTES_MAX: usize = 4096;

/// The meaning of a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An incomplete header, or too few bytes to decide: call again with more. Always fewer than
    /// [`HEADER_BYTES_MAX`].
    Incomplete,
    /// A complete header.
    Header {
        /// Its length. Later bytes are the service's.
        consumed: usize,
        /// The client and its destination. `None` if the proxy connects for itself (`LOCAL`, a
        /// health check), does not know, or names other than TCP endpoints. Then the connection's
        /// own addresses count.
        endpoints: Option<Endpoints>,
    },
    /// No header: all bytes are the service's.
    Absent,
    /// They begin like a header, and are invalid for this reason.
    Invalid(&'static str),
}

/// The two ends of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// The client's address.
    pub(super) source: SocketAddr,
    /// The address the client connected to.
    pub(super) destination: SocketAddr,
}

/// The content of a header, or what is wrong with it.
type HeaderResult = Result<Option<Endpoints>, &'static str>;

impl Parsed {
    fn whole(consumed: usize, result: HeaderResult) -> Self {
        match result {
            Ok(endpoints) => Self::Header { consumed, endpoints },
            Err(reason) => Self::Invalid(reason),
        }
    }
}

/// Parses all bytes that a connection has received so far.
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

/// Whether a header of this peer is trusted. `None` is a peer on a unix socket, whose permissions
/// decide who may connect. An IPv4-mapped IPv6 address counts as IPv4.
pub(super) fn is_trusted(peer: Option<IpAddr>, proxy: &ProxyProtocol) -> bool {
    let Some(peer) = peer else { return true };
    let peer = peer.to_canonical();
    proxy.trusted.iter().any(|net| net.contains(&peer))
}
