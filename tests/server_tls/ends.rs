//! Orderly ends: the peer gets every byte, and then close_notify.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{Connection, Drain, Echo, Limits, ServerConfig, Service};

use crate::clients::{
    Client, Site, VERSIONS, all_configs, client_hello, client_on, echo, end_write, handshake,
    read_to_close_notify, socket_to,
};
use crate::common::{MS, TEST_TIMEOUT, eventually, noise, read};

/// Sends so many bytes to each client, and closes.
#[derive(Clone)]
struct SendsAndCloses(usize);

impl Service for SendsAndCloses {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.send(&noise(5, self.0));
        connection.close();
    }

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }
}

#[test]
fn a_service_that_closes_gives_its_client_all_bytes_and_close_notify() {
    for length in [0, 1, 100_000] {
        for config in all_configs() {
            let site = Site::start(config, SendsAndCloses(length));
            for version in VERSIONS {
                let mut client = site.connect_by(version);
                assert!(read_to_close_notify(&mut client) == Ok(noise(5, length)));
            }
            eventually("both are closed", || site.server.stats().total().open == 0);
            assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);
        }
    }
}

#[test]
fn a_service_that_closes_while_the_socket_is_full_does_so_too() {
    // More than a socket takes.
    const LENGTH: usize = 12 << 20;
    for mut config in all_configs() {
        config.limits.buffer_bytes = LENGTH;
        let site = Site::start(config, SendsAndCloses(LENGTH));
        for version in VERSIONS {
            let tls = site.authority.client(&[version]).into();
            let socket = socket_to(site.address, Some(4096));
            let mut client = client_on(socket, &tls, "localhost");
            handshake(&mut client);
            let held = || site.server.stats().buffer_bytes;
            eventually("the socket is full", || held() > 0);
            assert!(read_to_close_notify(&mut client) == Ok(noise(5, LENGTH)));
        }
        eventually("both are closed", || site.server.stats().total().open == 0);
        let stats = site.server.drain().unwrap();
        assert_eq!((stats.total().errors.total(), stats.buffer_bytes), (0, 0));
    }
}

fn with_limits(config: ServerConfig, limits: Limits) -> ServerConfig {
    ServerConfig { limits, ..config }
}

#[test]
fn an_idle_connection_ends_with_close_notify() {
    for config in all_configs() {
        let limits = Limits { idle: Some(200 * MS), ..Limits::default() };
        let site = Site::start(with_limits(config, limits), Echo);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            let began = Instant::now();
            echo(&mut client, b"x");
            assert_eq!(read_to_close_notify(&mut client), Ok(Vec::new()));
            assert!(began.elapsed() >= 200 * MS, "{:?}", began.elapsed());
        }
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.errors.idle, total.errors.total()), (2, 2));
    }
}

#[test]
fn the_deadline_of_the_first_byte_begins_when_the_handshake_is_done() {
    let limits = Limits { first_byte: Some(400 * MS), ..Limits::default() };
    for config in all_configs() {
        let site = Site::start(with_limits(config, limits), Echo);
        // It takes longer for its handshake than the deadline is.
        let mut client = site.client();
        let hello = client_hello(&mut client);
        client.sock.write_all(&hello[..100]).unwrap();
        thread::sleep(600 * MS);
        let goes_on = Instant::now();
        client.sock.write_all(&hello[100..]).unwrap();
        handshake(&mut client);
        assert_eq!(read_to_close_notify(&mut client), Ok(Vec::new()));
        assert!(goes_on.elapsed() >= 400 * MS, "{:?}", goes_on.elapsed());
        let total = site.server.stats().total();
        assert_eq!((total.errors.first_byte, total.errors.total()), (1, 1));

        // Once it has sent a byte, the deadline is over.
        let mut client = site.connect();
        echo(&mut client, b"x");
        thread::sleep(500 * MS);
        echo(&mut client, b"y");
        assert_eq!(site.server.stats().total().errors.total(), 1);
    }
}

#[test]
fn a_client_that_ends_its_stream_gets_the_answers_to_all_before() {
    for config in all_configs() {
        let site = Site::start(config, Echo);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            // As much as the sockets hold, so that the client need not read meanwhile.
            let sent = noise(9, 100_000);
            client.write_all(&sent).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            assert!(read_to_close_notify(&mut client) == Ok(sent), "the echo differs");

            // Also if the stream of its socket ends, too.
            let mut client = site.connect_by(version);
            client.write_all(b"last").unwrap();
            end_write(&mut client);
            assert_eq!(read_to_close_notify(&mut client), Ok(b"last".to_vec()));
        }
        let total = site.server.drain().unwrap().total();
        assert_eq!(total.errors.total(), 0);
    }
}

/// Answers the end of a stream.
#[derive(Clone)]
struct AnswersAtTheEnd;

impl Service for AnswersAtTheEnd {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(&mut self, (): &mut (), _: &[u8], _: &mut Connection<'_, Self>) -> usize {
        0
    }

    fn end(&mut self, (): &mut (), rest: &[u8], connection: &mut Connection<'_, Self>) {
        connection.send(format!("{} bytes", rest.len()).as_bytes());
        connection.close();
    }
}

#[test]
fn a_service_answers_the_end_of_a_stream_with_what_it_has_not_consumed() {
    for config in all_configs() {
        let site = Site::start(config, AnswersAtTheEnd);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            client.write_all(&[7; 70_000]).unwrap();
            end_write(&mut client);
            assert_eq!(read_to_close_notify(&mut client), Ok(b"70000 bytes".to_vec()));
        }
    }
}

/// Drains a server in another thread.
fn drain(site: Site) -> thread::JoinHandle<evshard::server::stats::ServerStats> {
    thread::spawn(move || site.server.drain().unwrap())
}

#[test]
fn a_drain_closes_quiet_connections_and_serves_those_in_their_handshake() {
    let drains = Drain { timeout: TEST_TIMEOUT, ..Drain::default() };
    for config in all_configs() {
        let site = Site::start(ServerConfig { drain: drains, ..config }, Echo);
        let mut quiet = site.connect();
        echo(&mut quiet, b"x");
        let mut not_begun = site.socket();
        let mut begun = site.client();
        let hello = client_hello(&mut begun);
        begun.sock.write_all(&hello[..50]).unwrap();
        let mut half_done = site.client();
        while half_done.conn.wants_write() {
            half_done.conn.write_tls(&mut half_done.sock).unwrap();
        }
        eventually("all are open", || site.server.stats().total().connections == 4);
        let began = Instant::now();
        let drained = drain(site);
        assert_eq!(read_to_close_notify(&mut quiet), Ok(Vec::new()));
        assert_eq!(read(&mut not_begun, &mut [0]).unwrap(), 0, "it is closed");
        assert!(began.elapsed() < TEST_TIMEOUT / 2, "not by the drain timeout");
        // The drain has looked at all of them by now.
        begun.sock.write_all(&hello[50..]).unwrap();
        for client in [&mut begun, &mut half_done] {
            handshake(client);
            echo(client, b"served");
        }
        for client in [&mut begun, &mut half_done] {
            assert_eq!(read_to_close_notify(client), Ok(Vec::new()));
        }
        let total = drained.join().unwrap().total();
        assert_eq!((total.handshakes.done, total.errors.total()), (3, 0));
    }
}

#[test]
fn the_drain_timeout_cuts_what_is_not_quiet() {
    let drains = Drain { timeout: 300 * MS, ..Drain::default() };
    for config in all_configs() {
        let config = ServerConfig { drain: drains, ..config };
        let site = Site::start_with(config, Echo, |server| server.handshake_timeout(None));
        let mut quiet = site.connect();
        echo(&mut quiet, b"x");
        let mut begun = site.client();
        let hello = client_hello(&mut begun);
        begun.sock.write_all(&hello[..50]).unwrap();
        let mut stuck = stuck(&site);
        let began = Instant::now();
        let total = drain(site).join().unwrap().total();
        assert!(began.elapsed() >= drains.timeout && began.elapsed() < TEST_TIMEOUT / 2);
        assert_eq!((total.errors.cut, total.errors.total()), (2, 2));
        assert_eq!(read_to_close_notify(&mut quiet), Ok(Vec::new()));
        let reset = read(&mut begun.sock, &mut [0]).unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        let ended = read_to_close_notify(&mut stuck).unwrap_err();
        assert_eq!(ended, ErrorKind::ConnectionReset, "it misses bytes, and knows it");
    }
}

/// A client that sends much, and reads nothing.
fn stuck(site: &Site) -> Client {
    let socket = socket_to(site.address, Some(4096));
    let mut client = client_on(socket, &site.client, "localhost");
    handshake(&mut client);
    client.sock.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let part = noise(6, 16_000);
    let refused = loop {
        if let Err(error) = client.write_all(&part) {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock, "{refused}");
    client
}
