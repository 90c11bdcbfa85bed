//! Clients of these tests: each has an address of its own in 127.0.0.0/8.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroUsize;

use evshard::server::{AcceptMode, ListenAddress, Server, ServerConfig};
use socket2::{Domain, Socket, Type};

use crate::common::TEST_TIMEOUT;

/// A server configuration for this mode, with two workers.
pub(crate) fn config(accept: AcceptMode) -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::new(2).unwrap(),
        accept,
        pin: false,
        ..ServerConfig::default()
    }
}

pub(crate) fn address_of(server: &Server) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    address
}

/// The client address with this number.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Connects from an address. The server may reset the connection before this returns.
pub(crate) fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TEST_TIMEOUT))?;
    stream.set_write_timeout(Some(TEST_TIMEOUT))?;
    Ok(stream)
}

/// Whether a byte comes back. If not, the connection must have been reset.
#[track_caller]
pub(crate) fn is_served(mut stream: impl Read + Write) -> bool {
    match stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])) {
        Ok(()) => true,
        Err(error) => {
            let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(reset.contains(&error.kind()), "{error}");
            false
        }
    }
}

/// Connects from an address; the connection, if it is served.
#[track_caller]
pub(crate) fn served_from(source: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    match connect_from(source, to) {
        Ok(stream) => is_served(&stream).then_some(stream),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            None
        }
    }
}
