//! How many connections one source may have open.

use std::num::NonZeroUsize;

/// How many connections one source may have open at the same time. A further one is reset at once.
///
/// The source of a connection is its peer's address, or the client's address from a trusted PROXY
/// header, cut to a prefix. Connections of unix sockets without such a header are not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionsPerSource {
    /// Maximum of open connections of one source, over all workers.
    pub max: NonZeroUsize,
    /// IPv4 addresses with the same first bits, so many, are one source.
    pub ipv4_prefix: u8,
    /// The same for IPv6. A client commonly has all addresses of a /64, and can get more than one.
    pub ipv6_prefix: u8,
}

impl ConnectionsPerSource {
    /// The default prefix of IPv4: each address is a source.
    pub const IPV4_PREFIX: u8 = 32;
    /// The default prefix of IPv6: one network of clients.
    pub const IPV6_PREFIX: u8 = 64;

    /// A limit with the default prefixes.
    #[must_use]
    pub const fn new(max: NonZeroUsize) -> Self {
        Self { max, ipv4_prefix: Self::IPV4_PREFIX, ipv6_prefix: Self::IPV6_PREFIX }
    }
}
