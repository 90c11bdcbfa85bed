//! How many bytes a second a connection, and all connections together, may receive and send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{
    AcceptMode, Chargen, Connection, Discard, Drain, Echo, Limits, Server, ServerConfig, Service,
};

use crate::clients::{address_of, config, connect_from, source};
use crate::common::{MS, TEST_TIMEOUT, eventually, noise, read_to_end};

const KIB: u64 = 1 << 10;

fn limited(mode: AcceptMode, connection: Option<u64>, total: Option<u64>) -> ServerConfig {
    let rate = |rate: Option<u64>| rate.map(|rate| NonZeroU64::new(rate).unwrap());
    let limits = Limits { bytes_per_second: rate(connection), ..Limits::default() };
    ServerConfig { limits, bytes_per_second: rate(total), ..config(mode) }
}

fn client(server: &Server, number: usize) -> TcpStream {
    connect_from(source(number), address_of(server)).unwrap()
}

/// The least time that so many bytes take: the first tick's are there, and the clock is not exact.
fn least_time(bytes: u64, per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_second as f64 - 0.11)
}

#[test]
fn a_connection_received_as_fast_as_its_client_sent() {
    for (connection, total) in [(Some(100 * KIB), None), (None, Some(100 * KIB))] {
        let config = limited(AcceptMode::Acceptor, connection, total);
        let server = Server::start(&config, Discard).unwrap();
        let began = Instant::now();
        client(&server, 1).write_all(&vec![7; 150 << 10]).unwrap();
        eventually("all is read", || server.stats().total().bytes_in == 150 * KIB);
        assert!(began.elapsed() >= least_time(150 * KIB, 100 * KIB), "{:?}", began.elapsed());
        let total = server.drain().unwrap().total();
        assert!(total.reads_delayed > 0 && total.reads_delayed < 1000, "{}", total.reads_delayed);
    }
}

#[test]
fn a_connection_sent_as_fast_as_its_client_read() {
    for (connection, total) in [(Some(100 * KIB), None), (None, Some(100 * KIB))] {
        let config = limited(AcceptMode::Hybrid, connection, total);
        let server = Server::start(&config, Chargen).unwrap();
        let began = Instant::now();
        client(&server, 1).read_exact(&mut vec![0; 150 << 10]).unwrap();
        assert!(began.elapsed() >= least_time(150 * KIB, 100 * KIB), "{:?}", began.elapsed());
        let total = server.stats().total();
        assert!(total.writes_delayed > 0 && total.writes_delayed < 1000);
    }
}

#[test]
fn an_echo_through_both_limits_is_complete_and_in_order() {
    for mode in AcceptMode::ALL {
        let config = limited(mode, Some(200 * KIB), Some(300 * KIB));
        let server = Server::start(&config, Echo).unwrap();
        thread::scope(|scope| {
            for number in 0..3 {
                let stream = client(&server, number);
                scope.spawn(move || {
                    let bytes = noise(number as u64, 100_000);
                    let mut writer = stream.try_clone().unwrap();
                    let echo = scope.spawn(move || read_to_end(stream));
                    writer.write_all(&bytes).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                    assert!(echo.join().unwrap() == Ok(bytes), "{mode}");
                });
            }
        });
        let total = server.drain().unwrap().total();
        assert_eq!((total.bytes_in, total.bytes_out), (300_000, 300_000), "{mode}");
        assert_eq!(total.errors.total(), 0, "{mode}");
    }
}

#[test]
fn one_connection_took_what_all_may_have_together() {
    const CLIENTS: usize = 8;
    let server = Server::start(&limited(AcceptMode::Acceptor, None, Some(400 * KIB)), Chargen);
    let server = server.unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    let received: Vec<u64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut stream = client(&server, number);
                scope.spawn(move || {
                    let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
                    while Instant::now() < until {
                        received += stream.read(&mut buffer).unwrap() as u64;
                    }
                    received
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
    assert!(*most <= 3 * least, "{received:?}");
}

/// Answers a message of 2000 bytes with as many.
#[derive(Clone)]
struct LongMessages;

const MESSAGE_BYTES: usize = 2000;

impl Service for LongMessages {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        if input.len() < MESSAGE_BYTES {
            return 0;
        }
        connection.send(&input[..MESSAGE_BYTES]);
        MESSAGE_BYTES
    }
}

#[test]
fn a_deadline_closed_a_connection_that_the_server_slowed() {
    for (connection, total) in [(Some(KIB), None), (None, Some(KIB))] {
        let mut config = limited(AcceptMode::AcceptorInShard0, connection, total);
        // Less than the message takes, and less than each wait takes.
        config.limits.message = Some(300 * MS);
        config.limits.idle = Some(60 * MS);
        let server = Server::start(&config, LongMessages).unwrap();
        let mut stream = client(&server, 1);
        let began = Instant::now();
        stream.write_all(&[7; MESSAGE_BYTES]).unwrap();
        let mut answer = [0; MESSAGE_BYTES];
        stream.read_exact(&mut answer).unwrap();
        assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(answer, [7; MESSAGE_BYTES]);
        // Now the client does nothing.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is idle");
        let errors = server.drain().unwrap().total().errors;
        assert_eq!((errors.idle, errors.total()), (1, 1));
    }
}

#[test]
fn a_slow_client_had_no_deadline_beside_a_byte_rate() {
    let mut config = limited(AcceptMode::Hybrid, Some(KIB), Some(KIB));
    config.limits.message = Some(200 * MS);
    let server = Server::start(&config, LongMessages).unwrap();
    let mut stream = client(&server, 1);
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.drain().unwrap().total().errors.message, 1);
}

#[test]
fn a_drain_waited_for_the_bytes_that_a_rate_delays() {
    let drain = Drain { timeout: 300 * MS, ..Drain::default() };
    for mode in AcceptMode::ALL {
        let config = ServerConfig { drain, ..limited(mode, Some(KIB), None) };
        let server = Server::start(&config, Echo).unwrap();
        let mut busy = client(&server, 1);
        let idle = client(&server, 2);
        busy.write_all(&[7; 100_000]).unwrap();
        eventually("it is slowed", || server.stats().total().reads_delayed > 0);
        let began = Instant::now();
        let total = server.drain().unwrap().total();
        assert!(began.elapsed() < TEST_TIMEOUT / 4, "{mode}: {:?}", began.elapsed());
        assert_eq!((total.errors.cut, total.errors.total()), (1, 1), "{mode}");
        assert_eq!(read_to_end(idle), Ok(Vec::new()), "{mode}");
    }
}
