//! The maximum age of connections.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{AcceptMode, Connection, Drain, Echo, Limits, Server, ServerConfig, Service};

use crate::clients::{address_of, config, connect_from, is_served, source};
use crate::common::{MS, TEST_TIMEOUT, eventually, read_to_end};

fn aging(mode: AcceptMode, age: Duration) -> ServerConfig {
    ServerConfig { limits: Limits { age: Some(age), ..Limits::default() }, ..config(mode) }
}

fn aged(server: &Server) -> u64 {
    server.stats().total().aged
}

#[test]
fn connections_that_began_together_ended_together() {
    const CLIENTS: usize = 60;
    let age = Duration::from_secs(2);
    thread::scope(|scope| {
        for mode in AcceptMode::ALL {
            scope.spawn(move || {
                let server = Server::start(&aging(mode, age), Echo).unwrap();
                let address = address_of(&server);
                let ends_after = |number| {
                    let began = Instant::now();
                    let mut stream = connect_from(source(number), address).unwrap();
                    assert!(is_served(&stream));
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{mode}: an orderly end");
                    began.elapsed()
                };
                let ages: Vec<Duration> = thread::scope(|scope| {
                    let clients: Vec<_> = (0..CLIENTS)
                        .map(|number| scope.spawn(move || ends_after(number)))
                        .collect();
                    clients.into_iter().map(|client| client.join().unwrap()).collect()
                });
                let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
                assert!(*least >= age.mul_f64(0.9), "{mode}: {least:?}");
                assert!(*most - *least >= age.mul_f64(0.05), "{mode}: {least:?} to {most:?}");
                let total = server.drain().unwrap().total();
                assert_eq!((total.aged, total.errors.total()), (CLIENTS as u64, 0), "{mode}");
            });
        }
    });
}

/// Echoes, and announces a drain.
#[derive(Clone)]
struct Announce;

impl Service for Announce {
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

    fn drain(&mut self, (): &mut (), connection: &mut Connection<'_, Self>) {
        connection.send(b"bye");
    }
}

#[test]
fn a_connection_that_reaches_its_age_is_announced_by_its_service() {
    let server = Server::start(&aging(AcceptMode::Acceptor, 100 * MS), Announce).unwrap();
    let client = connect_from(source(1), address_of(&server)).unwrap();
    assert_eq!(read_to_end(client), Ok(b"bye".to_vec()));
}

/// Sends without an end, also when it is asked to drain.
#[derive(Clone)]
struct Endless;

impl Service for Endless {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        self.resume(&mut (), connection);
    }

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }

    fn resume(&mut self, (): &mut (), connection: &mut Connection<'_, Self>) {
        connection.send(&[7; 10_000]);
        connection.continue_when_sent();
    }
}

#[test]
fn a_connection_that_is_never_quiet_is_cut_at_the_drain_timeout() {
    let drain = Drain { timeout: 300 * MS, ..Drain::default() };
    for mode in AcceptMode::ALL {
        let config = ServerConfig { drain, ..aging(mode, 200 * MS) };
        let server = Server::start(&config, Endless).unwrap();
        let began = Instant::now();
        let client = connect_from(source(1), address_of(&server)).unwrap();
        assert_eq!(read_to_end(client).err(), Some(ErrorKind::ConnectionReset), "{mode}");
        assert!(began.elapsed() >= 480 * MS, "{mode}: {:?}", began.elapsed());
        let total = server.drain().unwrap().total();
        assert_eq!((total.aged, total.errors.cut, total.errors.total()), (1, 1, 1), "{mode}");
    }
}

/// The drain of the server takes over those that drain already, and asks no service twice.
#[test]
fn a_server_that_drains_drained_an_old_connection_once_more() {
    let drain = Drain { timeout: TEST_TIMEOUT, ..Drain::default() };
    for mode in AcceptMode::ALL {
        let config = ServerConfig { drain, ..aging(mode, 100 * MS) };
        let server = Server::start(&config, Announce).unwrap();
        let old = connect_from(source(1), address_of(&server)).unwrap();
        let busy = thread::spawn(move || {
            let mut stream = old;
            let mut bytes = Vec::new();
            // Busy until the drain has begun, and then quiet.
            let until = Instant::now() + 600 * MS;
            while Instant::now() < until && stream.write_all(b"x").is_ok() {
                let mut read = [0; 16];
                let length = stream.read(&mut read).unwrap_or(0);
                bytes.extend(&read[..length]);
            }
            // The end was reached already if this thread did not run for a while.
            let _ = stream.read_to_end(&mut bytes);
            bytes
        });
        eventually("it is old", || aged(&server) == 1);
        let total = server.drain().unwrap().total();
        let bytes = busy.join().unwrap();
        let announced = bytes.iter().filter(|&&byte| byte == b'b').count();
        assert_eq!((announced, total.errors.total()), (1, 0), "{mode}");
    }
}

#[test]
fn a_new_connection_got_the_age_of_one_before_it() {
    let age = Duration::from_secs(1);
    let drain = Drain { timeout: TEST_TIMEOUT, ..Drain::default() };
    let config = ServerConfig { drain, ..aging(AcceptMode::AcceptorInShard0, age) };
    let server = Server::start(&config, Echo).unwrap();
    let address = address_of(&server);
    for round in 0..3 {
        // One that closes before its age or while it drains, and leaves its key to the next.
        let first = connect_from(source(1), address).unwrap();
        let began = Instant::now();
        while if round == 0 { began.elapsed() < age / 2 } else { aged(&server) < 2 * round } {
            let _ = (&first).write_all(b"x").and_then(|()| (&first).read_exact(&mut [0]));
        }
        drop(first);
        eventually("it is closed", || server.stats().total().open == 0);
        let began = Instant::now();
        let mut second = connect_from(source(2), address).unwrap();
        assert!(is_served(&second));
        assert_eq!(second.read(&mut [0]).unwrap(), 0);
        assert!(began.elapsed() >= age.mul_f64(0.9), "{:?}", began.elapsed());
    }
}
