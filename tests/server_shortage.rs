//! A server that runs out of descriptors: it costs nothing, tells some, and is back at once.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, ServerProcess, eventually};

/// A client that has sent a byte, and whether it came back.
struct Client {
    stream: TcpStream,
    served: bool,
    reset: bool,
}

impl Client {
    fn new(server: &ServerProcess) -> Self {
        let mut stream = server.connect();
        stream.write_all(b"x").unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, served: false, reset: false }
    }

    fn look(&mut self) {
        match self.stream.read(&mut [0]) {
            Ok(length) => self.served |= length > 0,
            Err(error) => self.reset |= error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

fn served(clients: &mut [Client]) -> usize {
    clients.iter_mut().for_each(Client::look);
    clients.iter().filter(|client| client.served).count()
}

/// Looks for longer than the longest pause.
#[test]
fn without_descriptors_a_server_neither_spins_nor_ends_and_tells_some_clients() {
    let server = ServerProcess::start_after("ulimit -n 50", "--workers 1");
    let mut clients: Vec<_> = (0..80).map(|_| Client::new(&server)).collect();
    eventually("the first pause", || {
        served(&mut clients);
        clients.iter().any(|client| client.reset)
    });
    let (cpu, start) = (server.cpu_time(), Instant::now());
    thread::sleep(Duration::from_millis(1500));
    let busy = (server.cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(busy < 0.01, "{busy:.4} of a core while exhausted");
    let held = served(&mut clients);
    assert!(held >= 20, "{held} are served still");
    let told = clients.iter().filter(|client| client.reset).count();
    assert!((1..20).contains(&told), "one an attempt, and attempts grow rare: {told}");
    assert!(server.terminate().0.success());
}

/// By then the pauses are long: who is served at once is not served by chance.
#[test]
fn the_first_connection_that_closes_lets_the_next_one_in_at_once() {
    let server = ServerProcess::start_after("ulimit -n 50", "--workers 1");
    let mut clients: Vec<_> = (0..120).map(|_| Client::new(&server)).collect();
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            thread::sleep(Duration::from_millis(700));
            let before = served(&mut clients);
            let place = clients.iter().position(|client| client.served).unwrap();
            drop(clients.remove(place));
            let start = Instant::now();
            while served(&mut clients) < before {
                assert!(start.elapsed() < PATIENCE, "nobody is let in");
                thread::sleep(Duration::from_millis(1));
            }
            start.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
    assert!(server.terminate().0.success());
}
