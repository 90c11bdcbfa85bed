//! The PROXY header of a connection, read before its service is called.

use super::connection::Connection;
use crate::server::config::{ProxyMode, ProxyProtocol};
use crate::server::proxy_protocol::{Parsed, is_trusted, parse};
use crate::server::service::PeerAddress;

/// What the input so far makes of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderProgress {
    Incomplete,
    /// It was read, or is absent and optional. Further input is the connection's unconsumed input.
    Done,
    /// It is missing, invalid or not trusted.
    Rejected,
}

/// Reads more of a connection's header.
pub(super) fn read(
    proxy: &ProxyProtocol,
    connection: &mut Connection,
    input: &[u8],
) -> HeaderProgress {
    let mut bytes = connection.unconsumed.take().unwrap_or_default();
    bytes.extend_from_slice(input);
    match parse(&bytes) {
        Parsed::Incomplete => {
            connection.unconsumed = Some(bytes);
            HeaderProgress::Incomplete
        }
        Parsed::Header { consumed, endpoints } if trusts(proxy, connection) => {
            let source = endpoints.map(|endpoints| PeerAddress::Internet(endpoints.source));
            connection.proxied = source.map(Box::new);
            connection.keep_unconsumed(&bytes[consumed..]);
            HeaderProgress::Done
        }
        Parsed::Absent if proxy.mode == ProxyMode::Optional => {
            connection.unconsumed = Some(bytes);
            HeaderProgress::Done
        }
        Parsed::Header { .. } | Parsed::Absent | Parsed::Invalid(_) => HeaderProgress::Rejected,
    }
}

/// Whether a header from this connection's peer is trusted. The peer of a closed connection is not.
fn trusts(proxy: &ProxyProtocol, connection: &Connection) -> bool {
    match PeerAddress::of(&connection.socket) {
        PeerAddress::Internet(address) => is_trusted(Some(address.ip()), proxy),
        PeerAddress::Unix => is_trusted(None, proxy),
        PeerAddress::Unknown => false,
    }
}
