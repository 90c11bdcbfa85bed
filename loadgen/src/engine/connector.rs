//! Establishing a thread's connections before time zero: non-blocking, a bounded number in flight.
//!
//! It sends nothing. Its times are those of the TCP handshake, queueing for `accept` not included.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::clock::{Clock, nanoseconds};
use crate::engine::poller::{Interest, Poller};
use crate::error::Error;
use crate::latency::Latency;

/// Longest wait without looking whether to go on.
const WAIT_NS_MAX: u64 = 100_000_000;

/// What to connect to, how often and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Handshakes under way at once. Above the server's backlog they would be dropped and tried
    /// again after a second.
    pub(crate) in_flight_max: usize,
    pub(crate) timeout: Duration,
}

/// The established connections and how long each took.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) streams: Vec<TcpStream>,
    pub(crate) latency: Latency,
}

/// Connects until all are there, or until `go_on` says no. Calls it with the number established.
pub(crate) fn connect_all(
    order: Order,
    clock: Clock,
    go_on: impl Fn(usize) -> bool,
) -> Result<Connected, Error> {
    let mut connector = Connector {
        order,
        clock,
        poller: Poller::new().map_err(Error::Poll)?,
        handshakes: Vec::with_capacity(order.in_flight_max),
        begun: 0,
        connected: Connected {
            streams: Vec::with_capacity(order.connections),
            latency: Latency::new(),
        },
    };
    while connector.done() < order.connections && go_on(connector.done()) {
        connector.begin_some()?;
        connector.finish_some()?;
        connector.check_timeout()?;
    }
    go_on(connector.done());
    Ok(connector.connected)
}

/// A connect that has begun.
#[derive(Debug)]
struct Handshake {
    stream: TcpStream,
    token: usize,
    begun_ns: u64,
}

struct Connector {
    order: Order,
    clock: Clock,
    poller: Poller,
    /// Oldest first.
    handshakes: Vec<Handshake>,
    begun: usize,
    connected: Connected,
}

impl Connector {
    fn done(&self) -> usize {
        self.connected.streams.len()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Connect {
            address: self.order.address,
            source,
            done: self.done(),
            timeout: self.order.timeout,
        }
    }

    /// Begins as many handshakes as may be in flight.
    fn begin_some(&mut self) -> Result<(), Error> {
        while self.begun < self.order.connections
            && self.handshakes.len() < self.order.in_flight_max
        {
            let begun_ns = self.clock.now_ns();
            let stream = begin(self.order.address).map_err(|error| self.failed(error))?;
            let token = self.begun;
            let watched = self.poller.add(&stream, token, Interest::Write);
            watched.map_err(Error::Poll)?;
            self.handshakes.push(Handshake { stream, token, begun_ns });
            self.begun += 1;
        }
        Ok(())
    }

    /// Waits for handshakes to end and takes over their connections.
    fn finish_some(&mut self) -> Result<(), Error> {
        let count = self.poller.wait(WAIT_NS_MAX).map_err(Error::Poll)?;
        let now_ns = self.clock.now_ns();
        for index in 0..count {
            let token = self.poller.ready(index).token;
            let found = self.handshakes.iter().position(|h| h.token == token);
            let position = found.expect("only handshakes under way are watched");
            let handshake = self.handshakes.remove(position);
            self.poller.remove(&handshake.stream).map_err(Error::Poll)?;
            check(&handshake.stream, self.order.address).map_err(|error| self.failed(error))?;
            self.connected.latency.record(now_ns - handshake.begun_ns);
            self.connected.streams.push(handshake.stream);
        }
        Ok(())
    }

    fn check_timeout(&self) -> Result<(), Error> {
        let Some(oldest) = self.handshakes.first() else {
            return Ok(());
        };
        let waited_ns = self.clock.now_ns() - oldest.begun_ns;
        if waited_ns >= nanoseconds(self.order.timeout) {
            return Err(self.failed(io::ErrorKind::TimedOut.into()));
        }
        Ok(())
    }
}

/// Opens a non-blocking socket without Nagle's delay and begins its handshake.
fn begin(address: SocketAddr) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = TcpStream::from(net::socket_with(family, SocketType::STREAM, flags, None)?);
    stream.set_nodelay(true)?;
    match net::connect(&stream, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(stream),
        Err(error) => Err(error.into()),
    }
}

/// Whether the handshake that ended made a connection to the server.
fn check(stream: &TcpStream, address: SocketAddr) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    // With no server on a port of the local range, a socket can be given that very port and
    // connect to itself; it would echo everything, quickly and correctly.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn order(address: SocketAddr, connections: usize) -> Order {
        Order { address, connections, in_flight_max: 4, timeout: Duration::from_secs(5) }
    }

    #[test]
    fn all_connections_are_made_and_timed_one_by_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = connect_all(order(address, 30), Clock::start(), |_| true).unwrap();
        assert_eq!(connected.streams.len(), 30);
        assert_eq!(connected.latency.count(), 30);
        assert!(connected.streams.iter().all(|stream| stream.nodelay().unwrap()));
    }

    #[test]
    fn a_refusal_is_an_error_that_counts_what_was_there_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = connect_all(order(address, 3), Clock::start(), |_| true).unwrap_err();
        assert!(matches!(error, Error::Connect { done: 0, .. }), "{error:?}");
    }

    #[test]
    fn asked_to_stop_it_keeps_what_it_has() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = connect_all(order(address, 30), Clock::start(), |done| done < 8).unwrap();
        assert!((8..30).contains(&connected.streams.len()));
    }

    #[test]
    fn a_socket_connected_to_itself_is_not_a_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = begin(address).unwrap();
        let itself = stream.local_addr().unwrap();
        let error = check(&stream, itself).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
