//! The network of one loading thread: streams to the server, their readiness, and the clock.
//!
//! The thread's loop uses only the trait [`Network`]. In a run, [`Sockets`] implements it with
//! non-blocking sockets, one epoll set and the monotonic clock. In tests, a simulation implements
//! it: the tests set the clock, and a formula computes the replies.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::pacing::Pacer;
use super::poller::Poller;
use crate::clock::Clock;
use crate::error::Error;
use crate::options::Target;

/// The readiness that a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadWrite,
}

/// The readiness of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    /// Also set on errors and hang-ups; the read returns which.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Identifies a stream. The streams of a connection have different generations, so an event of an
/// old stream never reaches its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) connection: u32,
    pub(crate) generation: u32,
}

/// Streams to one server, their readiness, and the clock.
pub(crate) trait Network {
    type Stream: Read + Write;

    /// Nanoseconds since the run's epoch.
    fn now_ns(&self) -> u64;

    /// Begins to connect; the stream is watched for [`Interest::Write`] and becomes writable when
    /// the handshake has ended. `number` is the connection's number in the run. It chooses the
    /// source address.
    fn connect(&mut self, token: Token, number: u32) -> io::Result<Self::Stream>;

    /// Whether the handshake succeeded, or its error.
    fn connected(&self, stream: &Self::Stream) -> io::Result<()>;

    /// Changes the readiness that a stream waits for. Closing a stream ends its watch.
    fn watch(&self, stream: &Self::Stream, token: Token, interest: Interest) -> io::Result<()>;

    /// Waits until a stream is ready or `until_ns` has come; returns how many are ready.
    fn wait(&mut self, until_ns: u64) -> io::Result<usize>;

    /// Event number `index` of the latest wait; less than the number that the wait returned.
    fn ready(&self, index: usize) -> Ready;
}

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

    fn wait(&mut self, until_ns: u64) -> io::Result<usize> {
        self.pacer.wait(&mut self.poller, &self.clock, until_ns)
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
        net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(Socket(socket)),
        Err(error) => Err(error.into()),
    }
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

/// Where the server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(SocketAddrUnix),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(address) => {
                let path = address.path().map(|path| path.to_string_lossy().into_owned());
                write!(formatter, "unix:{}", path.unwrap_or_default())
            }
        }
    }
}

/// Resolves the target.
///
/// Of a name's several addresses (such as IPv6 and IPv4), a run uses one: the first that accepts a
/// connection. The trial connection is closed again. A single address is not tried.
pub(crate) fn resolve(target: &Target, timeout: Duration) -> Result<Address, Error> {
    match target {
        Target::Tcp(text) => resolve_name(text, timeout).map(Address::Tcp),
        Target::Unix(path) => unix_address(path),
    }
}

fn unix_address(path: &PathBuf) -> Result<Address, Error> {
    SocketAddrUnix::new(path).map(Address::Unix).map_err(|_| {
        Error::Usage(format!("target unix:{}: the path is too long for a socket", path.display()))
    })
}

fn resolve_name(text: &str, timeout: Duration) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Resolve { target: text.to_owned(), source };
    let addresses: Vec<SocketAddr> = text.to_socket_addrs().map_err(failed)?.collect();
    let [first, others @ ..] = addresses.as_slice() else {
        return Err(Error::NoAddress { target: text.to_owned() });
    };
    if others.is_empty() {
        return Ok(*first);
    }
    let accepts = |address: &&SocketAddr| TcpStream::connect_timeout(address, timeout).is_ok();
    // If no address accepts, the run's own connect returns the error.
    Ok(*addresses.iter().find(accepts).unwrap_or(first))
}
