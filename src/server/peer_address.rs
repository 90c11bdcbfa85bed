//! The address of the peer of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

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
