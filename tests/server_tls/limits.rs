//! The limits of a server beside TLS: byte rates, ages, memory, pauses.

use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{Chargen, Connection, Discard, Echo, Limits, ServerConfig, Service};

use crate::clients::{
    Site, VERSIONS, all_configs, any_config, client_on, echo, end_write, read_to_close_notify,
    socket_to,
};
use crate::common::{MS, eventually, noise};

const KIB: u64 = 1 << 10;

fn limited(config: ServerConfig, connection: Option<u64>, all: Option<u64>) -> ServerConfig {
    let rate = |rate: Option<u64>| rate.map(|rate| NonZeroU64::new(rate).unwrap());
    let limits = Limits { bytes_per_second: rate(connection), ..Limits::default() };
    ServerConfig { limits, bytes_per_second: rate(all), ..config }
}

/// The least time that so many bytes take: the first tick's are there, and the clock is not exact.
fn least_time(bytes: u64, per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_second as f64 - 0.11)
}

#[test]
fn a_byte_rate_limits_what_a_client_sends_and_counts_plain_bytes() {
    for (connection, all) in [(Some(100 * KIB), None), (None, Some(100 * KIB))] {
        let site = Site::start(limited(any_config(), connection, all), Discard);
        let mut client = site.connect();
        let began = Instant::now();
        client.write_all(&vec![7; 150 << 10]).unwrap();
        client.flush().unwrap();
        eventually("all is read", || site.server.stats().total().bytes_in >= 150 * KIB);
        assert!(began.elapsed() >= least_time(150 * KIB, 100 * KIB), "{:?}", began.elapsed());
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.bytes_in, total.errors.total()), (150 * KIB, 0));
        assert!(total.reads_delayed > 0 && total.reads_delayed < 1000, "{}", total.reads_delayed);
    }
}

#[test]
fn a_byte_rate_limits_what_a_client_gets() {
    for (connection, all) in [(Some(100 * KIB), None), (None, Some(100 * KIB))] {
        let site = Site::start(limited(any_config(), connection, all), Chargen);
        // The service begins to send when the handshake is done.
        let began = Instant::now();
        let mut client = site.connect();
        client.read_exact(&mut vec![0; 150 << 10]).unwrap();
        assert!(began.elapsed() >= least_time(150 * KIB, 100 * KIB), "{:?}", began.elapsed());
        let total = site.server.stats().total();
        assert!(total.bytes_out >= 150 * KIB, "{}", total.bytes_out);
        // It has not sent much more than what it may have by now.
        let most = 100.0 * KIB as f64 * (began.elapsed().as_secs_f64() + 1.0) + 70_000.0;
        assert!((total.bytes_out as f64) < most, "{} of {most}", total.bytes_out);
        assert!(total.writes_delayed > 0 && total.writes_delayed < 1000);
    }
}

#[test]
fn an_echo_through_both_byte_rates_is_complete_and_in_order() {
    for config in all_configs() {
        let site = Site::start(limited(config, Some(200 * KIB), Some(300 * KIB)), Echo);
        thread::scope(|scope| {
            for number in 0..3_u64 {
                let access = site.access.clone();
                scope.spawn(move || {
                    let mut client = access.connect_by(VERSIONS[number as usize % 2]);
                    let sent = noise(number, 60_000);
                    client.write_all(&sent).unwrap();
                    end_write(&mut client);
                    assert!(read_to_close_notify(&mut client) == Ok(sent), "the echo differs");
                });
            }
        });
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.bytes_in, total.bytes_out), (180_000, 180_000));
        assert_eq!(total.errors.total(), 0);
    }
}

#[test]
fn a_connection_that_reaches_its_age_ends_with_close_notify() {
    let age = 400 * MS;
    for config in all_configs() {
        let limits = Limits { age: Some(age), ..Limits::default() };
        let site = Site::start(ServerConfig { limits, ..config }, Echo);
        for version in VERSIONS {
            let began = Instant::now();
            let mut client = site.connect_by(version);
            echo(&mut client, b"x");
            assert_eq!(read_to_close_notify(&mut client), Ok(Vec::new()));
            assert!(began.elapsed() >= age.mul_f64(0.9), "{:?}", began.elapsed());
        }
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.aged, total.errors.total()), (2, 0));
    }
}

/// Answers each byte with as many sixteenths of a mebibyte as its value.
#[derive(Clone)]
struct Much;

const ANSWER: usize = 1 << 20;

impl Service for Much {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        if connection.room() < ANSWER {
            return 0;
        }
        connection.send(&[7; ANSWER][..usize::from(input[0]) * ANSWER / 16]);
        1
    }
}

#[test]
fn slow_readers_are_reset_when_memory_is_short_and_the_limit_is_never_exceeded() {
    const LIMIT: usize = 4 << 20;
    const READERS: u8 = 64;
    for mut config in all_configs() {
        config.memory_limit = LIMIT;
        config.limits.buffer_bytes = 2 * ANSWER;
        let site = Site::start(config, Much);
        let mut healthy = site.connect();
        // Many answers for each, of which its socket takes only a part. All sockets may take as
        // much, so the answers differ in length: then some have much left.
        let readers = (0..READERS).map(|reader| {
            let socket = socket_to(site.address, Some(4096));
            let mut client = client_on(socket, &site.client, "localhost");
            let asked = client.write_all(&[1 + reader % 16; 100]).and_then(|()| client.flush());
            (client, asked.is_ok())
        });
        let readers: Vec<_> = readers.collect();
        let mut most = 0;
        eventually("some are reset, and memory is free", || {
            let stats = site.server.stats();
            most = most.max(stats.buffer_bytes);
            let is_free = stats.buffer_bytes <= (LIMIT / 8 * 7) as u64;
            is_free && stats.total().errors.no_memory > 0
        });
        let errors = site.server.stats().total().errors;
        assert_eq!(errors.total(), errors.no_memory, "{errors:?}");
        assert!(errors.no_memory < READERS.into(), "not all of them");
        drop(readers);
        assert!(most > LIMIT as u64 / 2 && most <= LIMIT as u64, "{most}");
        healthy.write_all(&[16]).unwrap();
        healthy.read_exact(&mut vec![0; ANSWER]).unwrap();
        drop(healthy);
        eventually("nothing is held", || site.server.stats().buffer_bytes == 0);
    }
}

/// Answers each byte after a pause.
#[derive(Clone)]
struct Pauses(Duration);

impl Service for Pauses {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(&mut self, (): &mut (), _: &[u8], connection: &mut Connection<'_, Self>) -> usize {
        connection.pause_for(self.0);
        1
    }

    fn resume(&mut self, (): &mut (), connection: &mut Connection<'_, Self>) {
        connection.send(b".");
    }
}

/// All bytes and the end come at once, so the kernel reports nothing after the pauses.
#[test]
fn a_service_that_pauses_gets_the_bytes_and_the_end_that_wait_meanwhile() {
    const BYTES: u32 = 5;
    for config in all_configs() {
        let site = Site::start(config, Pauses(40 * MS));
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            let began = Instant::now();
            client.conn.writer().write_all(&[7; BYTES as usize]).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            let answer = read_to_close_notify(&mut client).unwrap();
            assert_eq!(answer, [b'.'; BYTES as usize]);
            assert!(began.elapsed() >= BYTES * 39 * MS, "{:?}", began.elapsed());
        }
        assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);
    }
}

/// The first lines of RFC 864.
fn chargen(length: usize) -> Vec<u8> {
    let line = |n: usize| {
        let characters = (0..72).map(move |at| b' ' + ((n + at) % 95) as u8);
        characters.chain(*b"\r\n")
    };
    (0..).flat_map(line).take(length).collect()
}

#[test]
fn a_service_that_goes_on_when_all_is_sent_sends_as_fast_as_its_client_reads() {
    const READ: usize = 3 << 20;
    for config in all_configs() {
        let site = Site::start(config, Chargen);
        for version in VERSIONS {
            let tls = site.authority.client(&[version]).into();
            let socket = socket_to(site.address, Some(4096));
            let mut client = client_on(socket, &tls, "localhost");
            let mut read = vec![0; READ];
            client.read_exact(&mut read).unwrap();
            assert!(read == chargen(READ), "the characters differ");
            // While the client does not read, the service is not called.
            let sent = || site.server.stats().total().bytes_out;
            let mut last = 0;
            eventually("it waits", || std::mem::replace(&mut last, sent()) == sent());
            assert!(site.server.stats().buffer_bytes < 200_000);
            drop(client);
            eventually("it is closed", || site.server.stats().total().open == 0);
        }
        eventually("nothing is held", || site.server.stats().buffer_bytes == 0);
    }
}
