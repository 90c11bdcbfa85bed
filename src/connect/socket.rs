//! The socket of one attempt: starting to connect it, and what became of that.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// Starts to connect a new socket that does not block. Once it is writable, the attempt has an
/// [`outcome`].
///
/// # Errors
///
/// Those of `socket(2)` and `connect(2)` that are known at once.
pub(crate) fn start_connect(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket),
        // The kernel goes on.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(socket),
        Err(error) => Err(error),
    }
}

/// What became of an attempt; `None` while it goes on. It takes the error off the socket.
pub(crate) fn outcome(socket: &Socket) -> Option<io::Result<()>> {
    match socket.take_error() {
        Ok(None) if socket.peer_addr().is_err() => None,
        Ok(None) => Some(Ok(())),
        Ok(Some(error)) | Err(error) => Some(Err(error)),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    /// How long a loopback address may need for an answer, however loaded the machine is.
    const LONG: Duration = Duration::from_secs(20);

    fn outcome_in_time(socket: &Socket) -> io::Result<()> {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(outcome) = outcome(socket) {
                return outcome;
            }
            assert!(Instant::now() < deadline, "the attempt has no outcome");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_connected_socket_carries_bytes_and_does_not_block() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = start_connect(listener.local_addr().unwrap()).unwrap();
        outcome_in_time(&socket).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut stream = TcpStream::from(socket);
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        stream.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
    }

    #[test]
    fn a_port_without_a_listener_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let socket = start_connect(address).unwrap();
        assert_eq!(outcome_in_time(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    /// Linux drops the first packet of a connection for which the backlog has no room.
    #[test]
    fn an_attempt_that_is_not_answered_has_no_outcome_until_it_is() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let first = start_connect(address).unwrap();
        outcome_in_time(&first).unwrap();
        let second = start_connect(address).unwrap();
        assert!(outcome(&second).is_none());
        let _accepted = listener.accept().unwrap();
        outcome_in_time(&second).unwrap();
    }

    #[test]
    fn an_address_that_cannot_be_connected_to_is_an_error_at_once() {
        let broadcast = SocketAddr::from(([255, 255, 255, 255], 80));
        start_connect(broadcast).unwrap_err();
    }
}
