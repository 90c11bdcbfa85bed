//! The PROXY protocol on a real server: which headers are trusted, and what a service receives.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::TEST_TIMEOUT;
use evshard::server::{
    Connection, ListenAddress, ProxyMode, ProxyProtocol, Server, ServerConfig, Service,
};

/// Sends the peer's address, then echoes.
#[derive(Clone)]
struct WhoAmI;

impl Service for WhoAmI {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.send(format!("{}\n", connection.peer()).as_bytes());
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        connection.send(input);
        input.len()
    }
}

fn start(mode: ProxyMode, trusted: &str) -> Server {
    let trusted = vec![trusted.parse().unwrap()];
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        proxy: ProxyProtocol { mode, trusted },
        ..ServerConfig::default()
    };
    Server::start(&config, WhoAmI).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends this and an end of stream; returns the whole reply.
fn answer(mut stream: TcpStream, bytes: &[u8]) -> Result<String, ErrorKind> {
    let mut text = String::new();
    stream.write_all(bytes).map_err(|error| error.kind())?;
    // It may have been reset already.
    let _ = stream.shutdown(Shutdown::Write);
    stream.read_to_string(&mut text).map(|_| text).map_err(|error| error.kind())
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 8, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb]);
    header
}

#[test]
fn a_trusted_proxy_speaks_for_its_client_in_both_versions() {
    for mode in [ProxyMode::Require, ProxyMode::Optional] {
        let server = start(mode, "127.0.0.0/8");
        let reply = answer(connect(&server), &[V1, b"hello"].concat());
        assert_eq!(reply.unwrap(), "192.0.2.7:4711\nhello");
        let reply = answer(connect(&server), &[&v2(), &b"hello"[..]].concat());
        assert_eq!(reply.unwrap(), "192.0.2.8:4711\nhello");
        assert_eq!(server.drain().unwrap().total().errors.total(), 0);
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_delays_no_other() {
    let server = start(ProxyMode::Require, "127.0.0.0/8");
    let mut slow = connect(&server);
    for byte in v2() {
        slow.write_all(&[byte]).unwrap();
        let reply = answer(connect(&server), V1);
        assert_eq!(reply.unwrap(), "192.0.2.7:4711\n");
    }
    assert_eq!(answer(slow, b"done").unwrap(), "192.0.2.8:4711\ndone");
}

#[test]
fn a_header_from_an_untrusted_peer_is_answered_by_a_reset() {
    for mode in [ProxyMode::Require, ProxyMode::Optional] {
        let server = start(mode, "10.0.0.0/8");
        assert_eq!(answer(connect(&server), V1), Err(ErrorKind::ConnectionReset));
        assert_eq!(server.drain().unwrap().total().errors.total(), 1);
    }
}

#[test]
fn a_connection_without_a_header_is_served_only_where_that_is_allowed() {
    let server = start(ProxyMode::Require, "127.0.0.0/8");
    assert_eq!(answer(connect(&server), b"hello"), Err(ErrorKind::ConnectionReset));
    let server = start(ProxyMode::Optional, "127.0.0.0/8");
    let stream = connect(&server);
    let own = stream.local_addr().unwrap();
    assert_eq!(answer(stream, b"PROdigy").unwrap(), format!("{own}\nPROdigy"));
    // So short that it could be the start of a header.
    let stream = connect(&server);
    let own = stream.local_addr().unwrap();
    assert_eq!(answer(stream, b"PRO").unwrap(), format!("{own}\nPRO"));
}

#[test]
fn a_health_check_that_only_connects_is_no_error() {
    let server = start(ProxyMode::Require, "127.0.0.0/8");
    assert_eq!(answer(connect(&server), b"").unwrap(), "");
    assert_eq!(server.drain().unwrap().total().errors.total(), 0);
}

#[test]
fn a_header_that_never_ends_is_reset_at_the_deadline() {
    let server = start(ProxyMode::Require, "127.0.0.0/8");
    let mut stream = connect(&server);
    stream.write_all(b"PROXY TCP4 ").unwrap();
    let start = Instant::now();
    assert_eq!(common::read(&stream, &mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}
