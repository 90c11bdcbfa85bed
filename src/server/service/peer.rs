//! The peer of a connection, as a service sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

use crate::tls::TlsFacts;
use crate::transport::Transport;

/// The address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An internet address. Behind a proxy that sends a PROXY header, it is the client's and not
    /// the proxy's.
    Internet(SocketAddr),
    /// A process of this machine, over a unix socket.
    Unix,
    /// Unknown: the connection was closed before the address was read, or its proxy did not send
    /// it.
    Unknown,
}

impl PeerAddress {
    /// Asks the kernel (`getpeername(2)`).
    pub(in crate::server) fn of(socket: &Socket) -> Self {
        match socket.peer_addr() {
            Ok(address) if address.is_unix() => Self::Unix,
            Ok(address) => address.as_socket().map_or(Self::Unknown, Self::Internet),
            Err(_) => Self::Unknown,
        }
    }

    /// Its address without the port.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        if let Self::Internet(address) = self { Some(address.ip()) } else { None }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The peer of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub(in crate::server) transport: &'a Transport,
    pub(in crate::server) proxied: Option<&'a PeerAddress>,
    pub(in crate::server) listener: u16,
}

impl Peer<'_> {
    /// Its address. This is a system call, unless a PROXY header had the address.
    #[must_use]
    pub fn address(&self) -> PeerAddress {
        self.proxied.copied().unwrap_or_else(|| PeerAddress::of(self.transport.socket()))
    }

    /// What its TLS handshake agreed on: version, cipher suite, the host name that it asked for
    /// (SNI), application protocol (ALPN), and its certificates if the server asked for them.
    /// `None` without TLS. It is a copy, so call this once for a connection.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFacts> {
        self.transport.tls_facts()
    }

    /// The index of the configured listener that accepted the connection.
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener.into()
    }
}
