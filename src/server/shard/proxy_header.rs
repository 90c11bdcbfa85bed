//! The PROXY header of a connection, read before its service is called.

use std::sync::Arc;

use super::close_reason::CloseReason;
use super::connection_state::ConnectionState;
use crate::server::config::{ProxyMode, ProxyProtocol};
use crate::server::memory::{HeldBytes, MemoryLimit, NoMemory};
use crate::server::peer_address::PeerAddress;
use crate::server::proxy_protocol::{Parsed, is_trusted, parse};

/// What the input so far makes of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderProgress {
    Incomplete,
    /// It was read, or is absent and optional. Further input is the connection's unconsumed input.
    Done,
    /// The connection must be closed.
    Failed(CloseReason),
}

/// Reads more of a connection's header.
pub(super) fn read(
    proxy: &ProxyProtocol,
    connection: &mut ConnectionState,
    input: &[u8],
    memory: &Arc<MemoryLimit>,
) -> HeaderProgress {
    let unconsumed = connection.unconsumed.take();
    let mut bytes = unconsumed.unwrap_or_else(|| Box::new(HeldBytes::new(memory)));
    if bytes.append(input) == Err(NoMemory) {
        return HeaderProgress::Failed(CloseReason::NoMemory);
    }
    match parse(&bytes) {
        Parsed::Incomplete => {
            connection.unconsumed = Some(bytes);
            HeaderProgress::Incomplete
        }
        Parsed::Header { consumed, endpoints } if trusts(proxy, connection) => {
            let source = endpoints.map(|endpoints| PeerAddress::Internet(endpoints.source));
            connection.proxied = source.map(Box::new);
            bytes.consume(consumed);
            connection.unconsumed = (!bytes.is_empty()).then_some(bytes);
            HeaderProgress::Done
        }
        Parsed::Absent if proxy.mode == ProxyMode::Optional => {
            connection.unconsumed = Some(bytes);
            HeaderProgress::Done
        }
        Parsed::Header { .. } | Parsed::Absent | Parsed::Invalid(_) => {
            HeaderProgress::Failed(CloseReason::Proxy)
        }
    }
}

/// Whether a header from this connection's peer is trusted. The peer of a closed connection is not.
fn trusts(proxy: &ProxyProtocol, connection: &ConnectionState) -> bool {
    match PeerAddress::of(connection.transport.socket()) {
        PeerAddress::Internet(address) => is_trusted(Some(address.ip()), proxy),
        PeerAddress::Unix => is_trusted(None, proxy),
        PeerAddress::Unknown => false,
    }
}
