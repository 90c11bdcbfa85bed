//! What peers do wrong costs their own connections only, while another goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use evshard::server::stats::{ConnectionErrors, HandshakeErrors};
use evshard::server::{Connection, Echo, Service};
use rustls::{ContentType, SupportedProtocolVersion};

use crate::clients::{
    Access, Authority, Client, Site, VERSIONS, all_configs, any_config, client_hello, client_on,
    echo, handshake, server_sockets, some_hello,
};
use crate::common::{MS, eventually, noise, read};
use crate::records::Forger;

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// Echoes, and counts the ends of streams.
#[derive(Clone, Default)]
struct CountsEnds(Arc<AtomicUsize>);

impl Service for CountsEnds {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        connection.send(input);
        input.len()
    }

    fn end(&mut self, (): &mut (), _: &[u8], connection: &mut Connection<'_, Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        connection.close();
    }
}

/// A server whose handshakes have this deadline, with a healthy connection that echoes until
/// [`finish`](Self::finish).
struct Bench {
    site: Site,
    ends: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    healthy: thread::JoinHandle<u64>,
    before: (ConnectionErrors, HandshakeErrors),
}

impl Bench {
    fn start(config: evshard::server::ServerConfig) -> Self {
        let service = CountsEnds::default();
        let ends = service.0.clone();
        let site =
            Site::start_with(config, service, |server| server.handshake_timeout(Some(400 * MS)));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut client = site.connect();
        echo(&mut client, b"healthy");
        let until = is_over.clone();
        let healthy = thread::spawn(move || {
            let mut rounds = 0;
            while !until.load(Ordering::Relaxed) {
                echo(&mut client, &noise(rounds, 500));
                rounds += 1;
            }
            echo(&mut client, b"still healthy");
            rounds
        });
        Self { site, ends, is_over, healthy, before: Default::default() }
    }

    /// Waits until all other connections are closed. Then the errors are these, and no more.
    #[track_caller]
    fn expect(&mut self, what: &str, change: impl Fn(&mut ConnectionErrors, &mut HandshakeErrors)) {
        let opened = self.site.opened.load(Ordering::Relaxed);
        eventually(what, || {
            let total = self.site.server.stats().total();
            total.connections == opened && total.open == 1
        });
        change(&mut self.before.0, &mut self.before.1);
        let total = self.site.server.stats().total();
        assert_eq!(total.errors, self.before.0, "{what}");
        assert_eq!(total.handshakes.errors, self.before.1, "{what}");
        // A ring of io_uring holds a socket a little longer than its descriptor.
        let address = self.site.address;
        eventually("no other descriptor is left", || server_sockets(address) == 1);
        // Nothing but what the healthy connection may have at this moment.
        let held = || self.site.server.stats().buffer_bytes;
        eventually("buffers are freed", || held() == 0);
        assert_eq!(self.ends.load(Ordering::Relaxed), 0, "{what} is no end of a stream");
    }

    fn finish(self) {
        self.is_over.store(true, Ordering::Relaxed);
        assert!(self.healthy.join().unwrap() > 0);
    }
}

/// Reads to the end, whatever it is; returns what came.
fn read_all(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = socket.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    bytes
}

/// Sends bytes to a server in place of a handshake; returns what came back.
fn sent_instead(site: &Access, bytes: &[u8]) -> Vec<u8> {
    let mut socket = site.socket();
    // The server may close before it has all.
    let _ = socket.write_all(bytes);
    read_all(&mut socket)
}

#[test]
fn what_is_no_handshake_is_refused_by_an_alert_and_counted() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        let oversized = [&[22, 3, 1, 0x48, 0x01][..], &[1; 100]].concat();
        let empty = [22, 3, 1, 0, 0].repeat(1000);
        for (bytes, is_tls) in [
            (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], false),
            (&[0xff; 100], false),
            (&[&[0][..], &noise(3, 100_000)].concat(), false),
            (&oversized, true),
            (&empty, true),
        ] {
            let answer = sent_instead(&site, bytes);
            // A reset may overtake the alert if the server has not read all.
            assert!(answer.is_empty() || answer[0] == 21, "{answer:?} is no alert");
            bench.expect("no handshake", |errors, handshakes| {
                errors.handshake += 1;
                *(if is_tls { &mut handshakes.other } else { &mut handshakes.not_tls }) += 1;
            });
        }
        bench.finish();
    }
}

#[test]
fn a_peer_that_stops_within_the_handshake_is_closed_at_its_deadline() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        let mut never_sends = site.socket();
        let mut half = site.client();
        let hello = client_hello(&mut half);
        half.sock.write_all(&hello[..hello.len() / 2]).unwrap();
        // It sends all, and never reads the answer.
        let mut reads_nothing = site.client();
        let hello = client_hello(&mut reads_nothing);
        reads_nothing.sock.write_all(&hello).unwrap();
        // One byte after the other. Each of them must not move the deadline.
        let mut slow = site.client();
        let hello = client_hello(&mut slow);
        let slow = thread::spawn(move || {
            for byte in hello {
                if slow.sock.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(20 * MS);
            }
            panic!("it had all the time of the world");
        });
        assert_eq!(read_all(&mut never_sends), b"");
        assert_eq!(read_all(&mut half.sock), b"");
        slow.join().unwrap();
        bench.expect("a handshake that stops", |errors, handshakes| {
            errors.handshake += 4;
            handshakes.timeout += 4;
        });
        assert!(!read_all(&mut reads_nothing.sock).is_empty(), "the server had answered");
        bench.finish();
    }
}

#[test]
fn a_peer_that_goes_away_is_counted_only_if_its_handshake_had_begun() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        for _ in 0..20 {
            drop(site.socket());
            site.socket().shutdown(Shutdown::Write).unwrap();
            let reset = socket2::Socket::from(site.socket());
            reset.set_linger(Some(Duration::ZERO)).unwrap();
        }
        bench.expect("as a check whether the port is open", |_, _| {});

        let hello = some_hello(&site);
        for length in [1, 5, 6, hello.len() / 2, hello.len() - 1] {
            let mut socket = site.socket();
            socket.write_all(&hello[..length]).unwrap();
            drop(socket);
            bench.expect("in the middle", |errors, handshakes| {
                errors.handshake += 1;
                handshakes.closed += 1;
            });
        }
        let mut socket = site.socket();
        socket.write_all(&hello).unwrap();
        assert!(read(&mut socket, &mut [0; 100]).unwrap() > 0);
        socket.shutdown(Shutdown::Write).unwrap();
        bench.expect("after the server's part", |errors, handshakes| {
            errors.handshake += 1;
            handshakes.closed += 1;
        });
        bench.finish();
    }
}

#[test]
fn a_client_that_refuses_the_server_is_counted_by_its_alert() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        let handshake_failure = [21, 3, 3, 0, 2, 2, 40];
        sent_instead(&site, &handshake_failure);
        bench.expect("an alert", |errors, handshakes| {
            errors.handshake += 1;
            handshakes.alert += 1;
        });
        for version in VERSIONS {
            let tls = Authority::new().client(&[version]).into();
            let mut client = client_on(site.socket(), &tls, "localhost");
            let refused = client.write_all(b"x").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidData);
            drop(client);
            bench.expect("a certificate that is not trusted", |errors, handshakes| {
                errors.handshake += 1;
                handshakes.alert += 1;
            });
        }
        bench.finish();
    }
}

/// Closes the socket of a client without close_notify.
fn truncate(mut client: Client) {
    client.write_all(b"half of it").unwrap();
    client.flush().unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    // A reset, because more may have come.
    read_all(&mut client.sock);
}

#[test]
fn a_stream_that_is_truncated_is_an_error_and_no_end() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        for version in VERSIONS {
            truncate(site.connect_by(version));
            bench.expect("a truncated stream", |errors, _| errors.truncated += 1);
            let mut client = site.connect_by(version);
            echo(&mut client, b"x");
            let socket = socket2::Socket::from(client.into_parts().1);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            drop(socket);
            bench.expect("a reset", |errors, _| errors.broken += 1);
        }
        bench.finish();
    }
}

#[test]
fn records_that_break_the_protocol_after_the_handshake_end_the_connection() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        for version in VERSIONS {
            let no_record = b"GET / HTTP/1.1\r\n\r\n".to_vec();
            let bad_mac = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
            let too_long = [&[23, 3, 3, 0x48, 0x01][..], &[7; 18_433]].concat();
            let unencrypted_empty = [23, 3, 3, 0, 0].repeat(1000);
            for bytes in [no_record, bad_mac, too_long, unencrypted_empty] {
                let mut client = site.connect_by(version);
                echo(&mut client, b"as a correct client");
                let _ = client.sock.write_all(&bytes);
                // An alert, or the reset that overtook it.
                read(&mut client, &mut [0]).unwrap_err();
                bench.expect("a bad record", |errors, _| errors.tls += 1);
            }
            // An intact one more than once, which the peer could do who sees the connection.
            let mut forger = Forger::connect(&site, version);
            let record = forger.record(ContentType::ApplicationData, b"pay");
            forger.socket.write_all(&[&record[..], &record].concat()).unwrap();
            read_all(&mut forger.socket);
            bench.expect("a replay", |errors, _| errors.tls += 1);
            // An encrypted one of more than 16 KiB.
            let mut forger = Forger::connect(&site, version);
            let record = forger.record(ContentType::ApplicationData, &[7; 16_385]);
            let _ = forger.socket.write_all(&record);
            read_all(&mut forger.socket);
            bench.expect("a large record", |errors, _| errors.tls += 1);
            // A fatal alert.
            let mut forger = Forger::connect(&site, version);
            let record = forger.record(ContentType::Alert, &[2, 80]);
            forger.socket.write_all(&record).unwrap();
            read_all(&mut forger.socket);
            bench.expect("a fatal alert", |errors, _| errors.tls += 1);
        }
        bench.finish();
    }
}

/// Waits until the server has read a byte from this peer, after all that it sent before.
fn expect_served(bench: &Bench, forger: &mut Forger) {
    let before = bench.site.server.stats().total().bytes_in;
    let last = forger.record(ContentType::ApplicationData, &[1; 5000]);
    forger.socket.write_all(&last).unwrap();
    // The healthy connection has at most 500 bytes on the way.
    let bytes_read = || bench.site.server.stats().total().bytes_in - before;
    eventually("it is read", || bytes_read() >= 5000);
    assert_ne!(read(&mut forger.socket, &mut [0; 10_000]).unwrap(), 0);
}

const CLIENT_HELLO: [u8; 4] = [1, 0, 0, 0];

#[test]
fn one_try_to_renegotiate_is_declined_and_many_end_the_connection() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        let mut forger = Forger::connect(&site, TLS12);
        forger.flood(ContentType::Handshake, &CLIENT_HELLO, 1);
        expect_served(&bench, &mut forger);
        forger.flood(ContentType::Handshake, &CLIENT_HELLO, 1000);
        read_all(&mut forger.socket);
        bench.expect("renegotiation", |errors, _| errors.tls += 1);
        // TLS 1.3 has none.
        let mut forger = Forger::connect(&site, TLS13);
        forger.flood(ContentType::Handshake, &CLIENT_HELLO, 1);
        read_all(&mut forger.socket);
        bench.expect("a handshake message", |errors, _| errors.tls += 1);
        bench.finish();
    }
}

#[test]
fn floods_of_key_updates_alerts_and_empty_records_end_the_connection() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        // rustls changes its keys, and so does the server.
        let mut client = site.connect_by(TLS13);
        for _ in 0..10 {
            client.conn.refresh_traffic_keys().unwrap();
            echo(&mut client, b"by new keys");
        }
        // A client that asks again and again, and does not read the answers.
        for _ in 0..1000 {
            client.conn.refresh_traffic_keys().unwrap();
            if client.flush().is_err() {
                break;
            }
        }
        drop(client);
        bench.expect("key updates", |errors, _| errors.tls += 1);

        let mut forger = Forger::connect(&site, TLS12);
        forger.flood(ContentType::Alert, &[1, 90], 1000);
        read_all(&mut forger.socket);
        bench.expect("warnings", |errors, _| errors.tls += 1);

        for version in VERSIONS {
            // They carry nothing, and are no end.
            let mut forger = Forger::connect(&site, version);
            forger.flood(ContentType::ApplicationData, &[], 30);
            expect_served(&bench, &mut forger);
            forger.flood(ContentType::ApplicationData, &[], 3000);
            read_all(&mut forger.socket);
            bench.expect("empty records", |errors, _| errors.tls += 1);
        }
        bench.finish();
    }
}

/// They are allowed once for the sake of middleboxes.
#[test]
fn a_flood_of_change_cipher_spec_within_the_handshake_fails_it() {
    for config in all_configs() {
        let mut bench = Bench::start(config);
        let site = bench.site.access.clone();
        let mut client =
            client_on(site.socket(), &site.authority.client(&[TLS13]).into(), "localhost");
        let flood = [20, 3, 3, 0, 1, 1].repeat(10_000);
        let bytes = [client_hello(&mut client), flood].concat();
        let _ = client.sock.write_all(&bytes);
        read_all(&mut client.sock);
        bench.expect("change_cipher_spec", |errors, handshakes| {
            errors.handshake += 1;
            handshakes.other += 1;
        });
        bench.finish();
    }
}

#[test]
fn a_storm_of_faults_leaves_nothing_behind() {
    for config in all_configs() {
        let bench = Bench::start(config);
        let site = &bench.site.access;
        thread::scope(|scope| {
            for seed in 0..4_usize {
                scope.spawn(move || {
                    for round in 0..60 {
                        match (seed + round) % 6 {
                            0 => drop(site.socket()),
                            1 => drop(sent_instead(site, &noise(round as u64 + 1, 3000))),
                            2 => truncate(site.connect()),
                            3 => {
                                let mut client = site.client();
                                let hello = client_hello(&mut client);
                                client.sock.write_all(&hello[..hello.len() - 1]).unwrap();
                            }
                            4 => {
                                let mut client = site.connect();
                                client.write_all(&noise(8, 100_000)).unwrap();
                            }
                            _ => {
                                let mut client = site.connect();
                                let _ = client.sock.write_all(&[23, 3, 3, 0, 40]);
                                let _ = client.sock.write_all(&[7; 40]);
                            }
                        }
                    }
                });
            }
        });
        let opened = site.opened.load(Ordering::Relaxed);
        eventually("all are closed", || {
            let total = bench.site.server.stats().total();
            total.connections == opened && total.open == 1
        });
        assert_eq!(server_sockets(site.address), 1);
        eventually("buffers are freed", || bench.site.server.stats().buffer_bytes == 0);
        assert_eq!(bench.ends.load(Ordering::Relaxed), 0);
        bench.finish();
    }
}

/// A plain connection of the same server needs no TLS, and none is offered to it.
#[test]
fn a_handshake_on_a_plain_listener_is_bytes_for_the_service() {
    let listen = ["tls:127.0.0.1:0", "127.0.0.1:0"].map(|listen| listen.parse().unwrap());
    let config = evshard::server::ServerConfig { listen: listen.into(), ..any_config() };
    let site = Site::start(config, Echo);
    let plain = crate::clients::tcp_address(&site.server, 1);
    let mut client = site.client();
    let hello = client_hello(&mut client);
    let mut socket = crate::clients::socket_to(plain, None);
    socket.write_all(&hello).unwrap();
    let mut back = vec![0; hello.len()];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(back, hello);
    handshake(&mut site.client());
}
