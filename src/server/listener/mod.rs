//! Listeners: the sockets connections come from, and where they are.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

use super::ServerConfig;
use crate::error::{Error, Result};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A unix stream socket; written `unix:PATH`.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp),
        }
    }
}

/// One address, and the sockets that listen on it: one, or one for each thread that accepts
/// (`SO_REUSEPORT`).
#[derive(Debug)]
pub struct Listener {
    /// Where it listens; with port 0 asked for, the port that was given.
    pub(super) address: ListenAddress,
    pub(super) sockets: Vec<Socket>,
    pub(super) origin: Origin,
}

/// Whose a listening socket is, which decides how it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody else has it: what the kernel queued must be accepted before it is closed.
    Own,
    /// A service manager or another server has it, too, and goes on accepting.
    Shared,
}

/// Opens every address of the configuration.
///
/// # Errors
///
/// [`Error::Listen`] for the first that cannot be listened on.
pub(super) fn open(config: &ServerConfig) -> Result<Vec<Listener>> {
    config.listen.iter().map(|address| open_one(address, config)).collect()
}

/// What is set on a listening socket, accepted sockets inherit.
fn open_one(address: &ListenAddress, config: &ServerConfig) -> Result<Listener> {
    let ListenAddress::Tcp(address) = address else {
        let source = io::ErrorKind::Unsupported.into();
        return Err(Error::Os { op: "listen on a unix socket", source });
    };
    let open = || -> io::Result<Listener> {
        let domain = Domain::for_address(*address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Connections of a server just stopped keep the address for a minute otherwise.
        socket.set_reuse_address(true)?;
        // Inherited by every accepted socket: one call for all of them.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&(*address).into())?;
        socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
        let address = socket.local_addr()?.as_socket().expect("an internet socket has one");
        let address = ListenAddress::Tcp(address);
        Ok(Listener { address, sockets: vec![socket], origin: Origin::Own })
    };
    open().map_err(|source| Error::Listen { address: *address, source })
}
