//! The PROXY header of a connection, read before its service is called.

use super::close::CloseReason;
use super::connection::{Connection, Stage};
use super::worker::Worker;
use crate::base::Registry;
use crate::server::config::{ProxyMode, ProxyProtocol};
use crate::server::proxy_protocol::{Parsed, is_trusted, parse};
use crate::server::service::PeerAddress;

/// Whether a header from this connection's peer is trusted. The peer of a closed connection is not.
fn trusts(proxy: &ProxyProtocol, connection: &Connection) -> bool {
    match PeerAddress::of(&connection.socket) {
        PeerAddress::Internet(address) => is_trusted(Some(address.ip()), proxy),
        PeerAddress::Unix => is_trusted(None, proxy),
        PeerAddress::Unknown => false,
    }
}

impl Worker {
    /// Reads more of a header; returns whether the connection still reads.
    pub(super) fn read_proxy_header(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        input: &[u8],
    ) -> bool {
        let connection = &mut self.connections[key];
        let mut bytes = connection.unconsumed.take().unwrap_or_default();
        bytes.extend_from_slice(input);
        match parse(&bytes) {
            Parsed::Incomplete => {
                connection.unconsumed = Some(bytes);
                return true;
            }
            Parsed::Header { consumed, endpoints } if trusts(&self.proxy, connection) => {
                let source = endpoints.map(|endpoints| PeerAddress::Internet(endpoints.source));
                connection.proxied = source.map(Box::new);
                connection.keep_unconsumed(&bytes[consumed..]);
            }
            Parsed::Absent if self.proxy.mode == ProxyMode::Optional => {
                connection.unconsumed = Some(bytes);
            }
            Parsed::Header { .. } | Parsed::Absent | Parsed::Invalid(_) => {
                self.fail(registry, key, CloseReason::Proxy);
                return false;
            }
        }
        self.begin_service(registry, key)
    }

    /// The deadline for a header is over, or the peer will send no more.
    pub(super) fn end_proxy_header(&mut self, registry: &mut Registry<Self>, key: usize) {
        if self.proxy.mode == ProxyMode::Optional {
            self.begin_service(registry, key);
        } else {
            self.fail(registry, key, CloseReason::Proxy);
        }
    }

    /// Calls the service for the connection and its input so far; returns whether the connection
    /// still reads.
    fn begin_service(&mut self, registry: &mut Registry<Self>, key: usize) -> bool {
        self.free_timer(registry, key);
        self.connections[key].stage = Stage::Reading;
        self.open(registry, key);
        let reads = self.connections.get(key).is_some_and(|c| c.stage == Stage::Reading);
        match reads.then(|| self.connections[key].unconsumed.is_some()) {
            Some(true) => self.receive(registry, key, &[]),
            Some(false) => true,
            None => false,
        }
    }
}
