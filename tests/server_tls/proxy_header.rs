//! PROXY headers before the handshake.

use std::io::{ErrorKind, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use evshard::server::{
    Connection, ConnectionsPerSource, PeerAddress, ProxyMode, ProxyProtocol, ServerConfig, Service,
};

use crate::clients::{
    Client, Site, all_configs, any_config, client_hello, close, echo, handshake, some_hello,
};
use crate::common::{MS, TEST_TIMEOUT, eventually, read};

/// Echoes, and reports the address of each connection.
#[derive(Clone)]
struct Addresses(Sender<PeerAddress>);

impl Service for Addresses {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        assert!(connection.tls().is_some(), "its handshake is done");
        self.0.send(connection.peer()).unwrap();
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

fn start(config: ServerConfig, mode: ProxyMode) -> (Site, Receiver<PeerAddress>) {
    let trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let (sender, receiver) = mpsc::channel();
    let config = ServerConfig { proxy: ProxyProtocol { mode, trusted }, ..config };
    (Site::start(config, Addresses(sender)), receiver)
}

/// The header of a client at 192.0.2.`client`:4711, in both versions.
fn headers(client: u8) -> [Vec<u8>; 2] {
    let v1 = format!("PROXY TCP4 192.0.2.{client} 198.51.100.1 4711 443\r\n").into_bytes();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let addresses = [192, 0, 2, client, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];
    let v2 = [&signature[..], &[0x21, 0x11, 0, 12], &addresses].concat();
    [v1, v2]
}

fn address(client: u8) -> PeerAddress {
    PeerAddress::Internet(([192, 0, 2, client], 4711).into())
}

/// Goes on with a handshake whose first part was sent, and uses the connection.
fn go_on(mut client: Client) {
    handshake(&mut client);
    echo(&mut client, b"hello");
    close(client);
}

#[test]
fn a_header_before_the_handshake_or_in_one_segment_with_it_names_the_client() {
    for config in all_configs() {
        let (site, addresses) = start(config, ProxyMode::Require);
        for header in headers(1) {
            let mut alone = site.client();
            let read = site.server.stats().total().bytes_in;
            alone.sock.write_all(&header).unwrap();
            eventually("it is read", || {
                site.server.stats().total().bytes_in == read + header.len() as u64
            });
            go_on(alone);
            assert_eq!(addresses.recv_timeout(TEST_TIMEOUT), Ok(address(1)));

            let mut together = site.client();
            let all = [header, client_hello(&mut together)].concat();
            together.sock.write_all(&all).unwrap();
            go_on(together);
            assert_eq!(addresses.recv_timeout(TEST_TIMEOUT), Ok(address(1)));
        }
        assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);
    }
}

#[test]
fn a_header_and_a_client_hello_may_be_cut_at_every_byte() {
    let (site, addresses) = start(any_config(), ProxyMode::Require);
    for header in headers(2) {
        let length = header.len() + some_hello(&site).len();
        for cut in 1..length {
            let mut client = site.client();
            let all = [&header[..], &client_hello(&mut client)].concat();
            // The server has read the first part before the second is there. The bytes behind a
            // header that came with it are read as part of it.
            let read = site.server.stats().total().bytes_in;
            client.sock.write_all(&all[..cut]).unwrap();
            eventually("it is read", || site.server.stats().total().bytes_in == read + cut as u64);
            client.sock.write_all(&all[cut..]).unwrap();
            go_on(client);
            assert_eq!(addresses.recv_timeout(TEST_TIMEOUT), Ok(address(2)), "cut at {cut}");
        }
    }
    assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);
}

#[test]
fn an_optional_header_may_be_absent_and_a_required_one_not() {
    for config in all_configs() {
        let (site, addresses) = start(config.clone(), ProxyMode::Optional);
        let mut client = site.connect();
        echo(&mut client, b"x");
        let own = PeerAddress::Internet(client.sock.local_addr().unwrap());
        assert_eq!(addresses.recv_timeout(TEST_TIMEOUT), Ok(own));
        close(client);
        for header in headers(3) {
            let mut client = site.client();
            client.sock.write_all(&header).unwrap();
            go_on(client);
            assert_eq!(addresses.recv_timeout(TEST_TIMEOUT), Ok(address(3)));
        }
        assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);

        let (site, addresses) = start(config, ProxyMode::Require);
        let mut client = site.client();
        let hello = client_hello(&mut client);
        client.sock.write_all(&hello).unwrap();
        let error = read(&mut client.sock, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.errors.proxy, total.errors.total()), (1, 1));
        assert_eq!(total.handshakes, Default::default(), "no handshake has begun");
        assert!(addresses.try_recv().is_err());
    }
}

#[test]
fn the_source_that_a_header_names_is_limited_before_its_handshake() {
    for config in all_configs() {
        let most = ConnectionsPerSource::new(NonZeroUsize::new(1).unwrap());
        let config = ServerConfig { connections_per_source: Some(most), ..config };
        let (site, _addresses) = start(config, ProxyMode::Require);
        let mut held = site.client();
        held.sock.write_all(&headers(4)[0]).unwrap();
        echo(&mut held, b"x");
        for header in headers(4) {
            let mut refused = site.client();
            let all = [header, client_hello(&mut refused)].concat();
            refused.sock.write_all(&all).unwrap();
            let error = read(&mut refused.sock, &mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "without a byte of TLS");
        }
        let mut other = site.client();
        other.sock.write_all(&headers(5)[1]).unwrap();
        echo(&mut other, b"x");
        echo(&mut held, b"still");
        let total = site.server.stats().total();
        assert_eq!((total.errors.source_limit, total.errors.total()), (2, 2));
        assert_eq!(
            (total.handshakes.done, total.handshakes.errors.by_kind().map(|kind| kind.1)),
            (2, [0; 8])
        );
        // Its place is free again after it has closed.
        drop(held);
        eventually("the source has room", || site.server.stats().sources == 1);
        let mut next = site.client();
        next.sock.write_all(&headers(4)[0]).unwrap();
        echo(&mut next, b"x");
    }
}

#[test]
fn the_deadline_of_the_handshake_begins_after_the_header() {
    let trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let proxy = ProxyProtocol { mode: ProxyMode::Require, trusted };
    let config = ServerConfig { proxy, ..any_config() };
    let (sender, _addresses) = mpsc::channel();
    let timeout = 300 * MS;
    let site = Site::start_with(config, Addresses(sender), |server| {
        server.handshake_timeout(Some(timeout))
    });
    let [header, _] = headers(6);
    let mut late = site.client();
    late.sock.write_all(&header[..5]).unwrap();
    let mut silent = site.client();
    std::thread::sleep(2 * timeout);
    late.sock.write_all(&header[5..]).unwrap();
    go_on(late);
    let began = Instant::now();
    silent.sock.write_all(&header).unwrap();
    assert_eq!(read(&mut silent.sock, &mut [0]).unwrap(), 0, "it is closed");
    assert!(began.elapsed() >= timeout, "{:?}", began.elapsed());
    let total = site.server.drain().unwrap().total();
    assert_eq!((total.handshakes.errors.timeout, total.errors.handshake), (1, 1));
    assert_eq!((total.handshakes.done, total.errors.total()), (1, 1));
}

/// It ends its stream, as a check does whether the port is open.
#[test]
fn a_proxy_that_closes_after_its_header_is_no_error() {
    for config in all_configs() {
        let (site, _addresses) = start(config, ProxyMode::Require);
        for header in headers(7) {
            site.socket().write_all(&header).unwrap();
        }
        eventually("both came", || site.server.stats().total().connections == 2);
        eventually("both are closed", || site.server.stats().total().open == 0);
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.errors.total(), total.handshakes), (0, Default::default()));
    }
}
