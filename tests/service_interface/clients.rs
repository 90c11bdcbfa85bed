//! Servers and clients of these tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;

use super::common::{MS, TEST_TIMEOUT, read, usable_backends};
use evshard::server::{AcceptMode, Drain, Limits, ListenAddress, Server, ServerConfig};
use socket2::{Domain, Socket, Type};

/// A server on loopback whose drain waits as long as a test does.
pub(crate) fn config(workers: usize) -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::new(workers).unwrap(),
        pin: false,
        drain: Drain { timeout: TEST_TIMEOUT, ..Drain::default() },
        ..ServerConfig::default()
    }
}

/// More than the kernel takes for a client that does not read.
pub(crate) const MUCH: usize = 8 << 20;

/// A server whose connections may have [`MUCH`] pending.
pub(crate) fn roomy() -> ServerConfig {
    limited(Limits { buffer_bytes: 2 * MUCH, ..Limits::default() })
}

pub(crate) fn limited(limits: Limits) -> ServerConfig {
    ServerConfig { limits, ..config(1) }
}

/// The same server in each accept mode.
pub(crate) fn in_every_mode(workers: usize) -> impl Iterator<Item = ServerConfig> {
    AcceptMode::ALL.into_iter().map(move |accept| ServerConfig { accept, ..config(workers) })
}

/// The same server in each accept mode, and on each backend.
pub(crate) fn in_every_mode_and_on_every_backend(
    workers: usize,
) -> impl Iterator<Item = ServerConfig> {
    let on_backend = move |kind| {
        let config = config(workers);
        ServerConfig { base: config.base.backend(kind), ..config }
    };
    in_every_mode(workers).chain(usable_backends().map(on_backend))
}

pub(crate) fn address(server: &Server) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    address
}

pub(crate) fn connect(server: &Server) -> TcpStream {
    with_timeouts(TcpStream::connect(address(server)).unwrap())
}

pub(crate) fn with_timeouts(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client whose kernel takes only a few kilobytes that it does not read.
pub(crate) fn connect_narrow(server: &Server) -> TcpStream {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&address(server).into()).unwrap();
    with_timeouts(client.into())
}

pub(crate) fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    receive(stream, bytes.len())
}

pub(crate) fn receive(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Expects that nothing comes for a while, in which anything wrong would have come.
pub(crate) fn expect_silence(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(200 * MS)).unwrap();
    let error = read(&*stream, &mut [0]).expect_err("something came");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
}
