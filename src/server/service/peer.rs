//! The other side of a connection, as a service may ask for it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// Somebody on the network; behind a proxy that says so, the client and not the proxy.
    Internet(SocketAddr),
    /// A process of this machine, through a unix socket.
    Unix,
    /// Nobody knows: the connection was gone before anybody asked, or its proxy did not say.
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

/// The other side of a connection that begins.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub(in crate::server) socket: &'a Socket,
    pub(in crate::server) proxied: Option<&'a PeerAddress>,
    pub(in crate::server) listener: u16,
}

impl Peer<'_> {
    /// Its address. A system call, unless a PROXY header told it: ask if you need it.
    #[must_use]
    pub fn address(&self) -> PeerAddress {
        self.proxied.copied().unwrap_or_else(|| PeerAddress::of(self.socket))
    }

    /// Which of the configuration's listeners it came by, from 0.
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener.into()
    }
}
