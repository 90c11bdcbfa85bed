//! The sockets of one loading thread to one server.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::address::Address;
use super::network::{Interest, Network, Ready, Token};
use super::pacing::Pacer;
use super::poller::Poller;
use crate::clock::Clock;

/// A connected, or connecting, TCP or unix socket.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // write(2) would raise SIGPIPE when the peer has closed the connection.
        Ok(net::send(&self.0, bytes, net::SendFlags::NOSIGNAL)?)
    }

    /// All records of TLS in one call: the server reads a flight of a handshake at once.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = net::SendAncillaryBuffer::default();
        Ok(net::sendmsg(&self.0, parts, &mut nothing, net::SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One thread's sockets to one server.
pub(crate) struct Sockets {
    address: Address,
    /// Source addresses, used in turn. If there are none, the kernel chooses.
    sources: Vec<IpAddr>,
    clock: Clock,
    pacer: Pacer,
    poller: Poller,
}

impl Sockets {
    /// No sockets yet.
    pub(crate) fn new(
        address: Address,
        sources: Vec<IpAddr>,
        clock: Clock,
        pacer: Pacer,
    ) -> io::Result<Self> {
        Ok(Self { address, sources, clock, pacer, poller: Poller::new()? })
    }

    fn source(&self, number: u32) -> Option<IpAddr> {
        let at = (number as usize).checked_rem(self.sources.len())?;
        Some(self.sources[at])
    }
}

impl Network for Sockets {
    type Stream = Socket;

    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    fn connect(&mut self, token: Token, number: u32) -> io::Result<Socket> {
        let socket = match &self.address {
            Address::Tcp(address) => connect_tcp(*address, self.source(number))?,
            Address::Unix(path) => connect_unix(path)?,
        };
        self.poller.add(&socket, token, Interest::Write)?;
        Ok(socket)
    }

    fn connected(&self, socket: &Socket) -> io::Result<()> {
        sockopt::socket_error(socket)??;
        // If no server listens on a port of the ephemeral range, the kernel can choose that port
        // for the socket itself. The socket then connects to itself and echoes every request.
        if let Address::Tcp(address) = self.address {
            let own: Option<SocketAddr> = net::getsockname(socket)?.try_into().ok();
            if own == Some(address) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
        }
        Ok(())
    }

    fn watch(&self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.poller.modify(socket, token, interest)
    }

    fn wait(&mut self, until_ns: u64, heartbeat_ns: u64) -> io::Result<usize> {
        self.pacer.wait(&mut self.poller, &self.clock, until_ns, heartbeat_ns)
    }

    fn ready(&self, index: usize) -> Ready {
        self.poller.ready(index)
    }
}

/// Opens a non-blocking socket without Nagle's delay and begins its handshake.
fn connect_tcp(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = open(family)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        // IP_BIND_ADDRESS_NO_PORT would let sockets to several servers share a port. No safe
        // binding offers it, and a run has one server.
        net::bind(&socket, &SocketAddr::new(source, 0)).map_err(|error| unusable(source, error))?;
    }
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(Socket(socket)),
        Err(Errno::ADDRNOTAVAIL) if !has_local_address(family, address) => {
            let text = "no address of this machine reaches it; is IPv6 turned off here?";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel finds a local address for a socket to this one. EADDRNOTAVAIL of a TCP
/// connect also stands for the lack of a free port. Datagrams have ports of their own.
fn has_local_address(family: AddressFamily, address: SocketAddr) -> bool {
    let connect = || {
        let socket = net::socket(family, SocketType::DGRAM, None)?;
        net::connect(&socket, &address)
    };
    connect() != Err(Errno::ADDRNOTAVAIL)
}

/// Why a socket cannot have this source address. The plain error would be that of a connect.
fn unusable(source: IpAddr, error: Errno) -> io::Error {
    let text = match error {
        Errno::ADDRNOTAVAIL => format!("{source} is no address of this machine (--source)"),
        Errno::AFNOSUPPORT | Errno::INVAL => {
            format!("{source} and the server's address are of different families (--source)")
        }
        _ => return error.into(),
    };
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn connect_unix(address: &SocketAddrUnix) -> io::Result<Socket> {
    let socket = open(AddressFamily::UNIX)?;
    net::connect(&socket, address)?;
    Ok(Socket(socket))
}

fn open(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(family, SocketType::STREAM, flags, None)?)
}
