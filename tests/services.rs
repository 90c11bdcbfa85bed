//! Services on a real server: messages in pieces, pauses, floods, panics, deadlines, the drain.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::{MS, TEST_TIMEOUT, eventually, noise, read_to_end};
use evshard::server::{
    Chargen, Connection, ConnectionId, Discard, Drain, Echo, Limits, ListenAddress, Server,
    ServerConfig, Service, Work,
};

/// One worker, so that connections can only be delayed by others of the same shard.
fn one_shard() -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        ..ServerConfig::default()
    }
}

fn limited(limits: Limits) -> ServerConfig {
    ServerConfig { limits, ..one_shard() }
}

fn connect(server: &Server) -> TcpStream {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn errors(server: Server) -> u64 {
    server.drain().unwrap().total().errors.total()
}

/// Answers each line in capitals. The line `panic` panics, `greedy` consumes more than there is,
/// `abort` resets, and `swamp` sends more than a connection may keep.
#[derive(Clone)]
struct Shout;

impl Service for Shout {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.send(b"hello\n");
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        let line = &input[..=end];
        match line {
            b"panic\n" => panic!("it was asked to"),
            b"greedy\n" => return usize::MAX,
            b"abort\n" => connection.abort(),
            b"swamp\n" => (0..1000).for_each(|_| connection.send(&[b'x'; 64 * 1024])),
            _ => connection.send(&line.to_ascii_uppercase()),
        }
        line.len()
    }

    fn end(&mut self, (): &mut (), rest: &[u8], connection: &mut Connection<'_, Self>) {
        connection.send(&rest.to_ascii_uppercase());
        connection.close();
    }

    fn drain(&mut self, (): &mut (), connection: &mut Connection<'_, Self>) {
        connection.send(b"bye\n");
    }
}

/// A connection to `Shout` that has received its hello.
fn shouted_at(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello\n");
    stream
}

#[test]
fn a_message_in_pieces_is_offered_again_until_it_is_whole() {
    let server = Server::start(&one_shard(), Shout).unwrap();
    let mut stream = shouted_at(&server);
    for piece in [&b"ab"[..], b"c\nde", b"", b"f\ng"] {
        stream.write_all(piece).unwrap();
    }
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ABC\nDEF\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(stream).unwrap(), b"G", "the rest is passed at the end");
    assert_eq!(errors(server), 0);
}

#[test]
fn a_service_that_panics_or_consumes_what_it_was_not_given_costs_only_its_own_connection() {
    let server = Server::start(&one_shard(), Shout).unwrap();
    let mut other = shouted_at(&server);
    for line in ["panic\n", "greedy\n"] {
        let mut doomed = shouted_at(&server);
        doomed.write_all(line.as_bytes()).unwrap();
        assert_eq!(read_to_end(doomed), Err(ErrorKind::ConnectionReset), "{line}");
    }
    other.write_all(b"still here\n").unwrap();
    let mut answer = [0; 11];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"STILL HERE\n");
    drop(other);
    assert_eq!(errors(server), 2);
}

#[test]
fn a_service_can_reset_its_connection() {
    let server = Server::start(&one_shard(), Shout).unwrap();
    let mut stream = shouted_at(&server);
    stream.write_all(b"abort\n").unwrap();
    assert_eq!(read_to_end(stream), Err(ErrorKind::ConnectionReset));
    assert_eq!(errors(server), 1);
}

#[test]
fn a_reply_beyond_the_bound_costs_the_connection_instead_of_the_memory() {
    let server = Server::start(&one_shard(), Shout).unwrap();
    let mut stream = shouted_at(&server);
    stream.write_all(b"swamp\n").unwrap();
    assert_eq!(read_to_end(stream), Err(ErrorKind::ConnectionReset));
    assert_eq!(errors(server), 1);
}

#[test]
fn a_message_beyond_the_bound_costs_the_connection() {
    let limits = Limits { buffer_bytes: 10_000, ..Limits::default() };
    let server = Server::start(&limited(limits), Shout).unwrap();
    let mut stream = shouted_at(&server);
    let _ = stream.write_all(&[b'a'; 200_000]);
    assert_eq!(read_to_end(stream), Err(ErrorKind::ConnectionReset));
    assert_eq!(errors(server), 1);
}

#[test]
fn a_pause_of_one_connection_delays_no_other() {
    let work: Work = "sleep:300ms".parse().unwrap();
    let server = Server::start(&one_shard(), work).unwrap();
    let start = Instant::now();
    let mut streams: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        stream.write_all(b"request").unwrap();
        // Input during a pause is handled afterwards.
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for stream in streams {
        assert_eq!(read_to_end(stream).unwrap(), b"request");
    }
    let took = start.elapsed();
    assert!(took >= 300 * MS, "{took:?}");
    assert!(took < 20 * 300 * MS / 2, "they waited for each other: {took:?}");
    assert_eq!(errors(server), 0);
}

#[test]
fn spinning_work_takes_its_time_and_echoes() {
    let work: Work = "spin:20ms".parse().unwrap();
    let server = Server::start(&one_shard(), work).unwrap();
    let mut stream = connect(&server);
    let start = Instant::now();
    for round in 0..5_u8 {
        assert_eq!(ask(&mut stream, &[round; 9]), [round; 9]);
    }
    assert!(start.elapsed() >= 5 * 20 * MS);
}

#[test]
fn characters_come_for_as_long_as_the_client_reads() {
    let server = Server::start(&one_shard(), Chargen).unwrap();
    // A client that reads nothing does not delay others.
    let _stuck = connect(&server);
    let mut reader = connect(&server);
    let mut text = vec![0; 2_000_000];
    reader.read_exact(&mut text).unwrap();
    assert!(text.starts_with(b" !\"#$%"));
    let lines = text.split(|byte| *byte == b'\n');
    assert!(lines.take(20_000).all(|line| line.len() == 73 && line.ends_with(b"\r")));
    reader.write_all(b"discarded").unwrap();
    reader.read_exact(&mut text[..100_000]).unwrap();
    drop(reader);
}

#[test]
fn what_is_discarded_is_never_answered() {
    let server = Server::start(&one_shard(), Discard).unwrap();
    let mut stream = connect(&server);
    stream.write_all(&noise(1, 5_000_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(stream).unwrap(), b"");
    let report = server.drain().unwrap();
    assert_eq!(report.total().bytes_in, 5_000_000);
}

#[test]
fn a_silent_client_is_closed_in_order_and_an_active_one_stays() {
    let limits = Limits { first_byte: Some(100 * MS), idle: None, ..Limits::default() };
    let server = Server::start(&limited(limits), Echo).unwrap();
    let (silent, mut speaker) = (connect(&server), connect(&server));
    assert_eq!(ask(&mut speaker, b"x"), b"x");
    assert_eq!(read_to_end(silent).unwrap(), b"", "an orderly end");
    assert_eq!(ask(&mut speaker, b"y"), b"y", "only the first byte had a deadline");
    drop(speaker);
    assert_eq!(errors(server), 1);
}

#[test]
fn a_client_that_never_sent_anything_was_never_idle() {
    let limits = Limits { first_byte: None, idle: Some(100 * MS), ..Limits::default() };
    let server = Server::start(&limited(limits), Echo).unwrap();
    assert_eq!(read_to_end(connect(&server)).unwrap(), b"");
    assert_eq!(server.drain().unwrap().total().errors.idle, 1);
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let limits = Limits { idle: Some(200 * MS), ..Limits::default() };
    let server = Server::start(&limited(limits), Echo).unwrap();
    let (mut idle, mut busy) = (connect(&server), connect(&server));
    assert_eq!(ask(&mut idle, b"x"), b"x");
    let start = Instant::now();
    while start.elapsed() < 600 * MS {
        assert_eq!(ask(&mut busy, b"still busy"), b"still busy");
        std::thread::sleep(10 * MS);
    }
    assert_eq!(read_to_end(idle).unwrap(), b"");
    drop(busy);
    assert_eq!(errors(server), 1);
}

#[test]
fn a_peer_that_reads_nothing_is_idle_too_and_is_reset() {
    let limits = Limits { idle: Some(200 * MS), ..Limits::default() };
    let server = Server::start(&limited(limits), Chargen).unwrap();
    let stuck = connect(&server);
    let start = Instant::now();
    eventually("it is reset", || stuck.take_error().unwrap().is_some());
    assert!(start.elapsed() >= 150 * MS);
    drop(stuck);
    assert_eq!(errors(server), 1);
}

#[test]
fn a_slow_loris_cannot_stay_past_the_deadline() {
    let limits = Limits { message: Some(200 * MS), idle: Some(TEST_TIMEOUT), ..Limits::default() };
    let server = Server::start(&limited(limits), Shout).unwrap();
    let (mut loris, mut honest) = (shouted_at(&server), shouted_at(&server));
    let start = Instant::now();
    // It is never idle, and never completes a message.
    while loris.write_all(b"a").is_ok() {
        assert!(start.elapsed() < TEST_TIMEOUT, "it stays for ever");
        // An honest client is slow, too, but it completes each message.
        honest.write_all(b"on").unwrap();
        std::thread::sleep(50 * MS);
        honest.write_all(b"e\n").unwrap();
        let mut answer = [0; 4];
        honest.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ONE\n");
    }
    assert!(start.elapsed() >= 150 * MS);
    drop(honest);
    assert_eq!(errors(server), 1);
}

#[test]
fn a_flood_on_one_connection_does_not_keep_a_new_one_waiting() {
    let server = Server::start(&one_shard(), Discard).unwrap();
    let mut flood = connect(&server);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bytes = noise(2, 1 << 20);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                flood.write_all(&bytes).unwrap();
            }
        });
        for _ in 0..20 {
            let stream = connect(&server);
            stream.shutdown(Shutdown::Write).unwrap();
            let start = Instant::now();
            assert_eq!(read_to_end(stream).unwrap(), b"");
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_drain_is_passed_to_services_and_then_to_their_peers() {
    let server = Server::start(&one_shard(), Shout).unwrap();
    let stream = shouted_at(&server);
    let drained = std::thread::spawn(move || server.drain().unwrap());
    assert_eq!(read_to_end(stream).unwrap(), b"bye\n");
    assert_eq!(drained.join().unwrap().total().errors.total(), 0);
}

#[test]
fn a_drain_spreads_the_end_of_idle_connections_over_its_window() {
    let drain = Drain { timeout: TEST_TIMEOUT, spread: 1000 * MS, ..Drain::default() };
    let server = Server::start(&ServerConfig { drain, ..one_shard() }, Echo).unwrap();
    let streams: Vec<TcpStream> = (0..40).map(|_| connect(&server)).collect();
    let mut streams: Vec<TcpStream> = streams;
    for stream in &mut streams {
        assert_eq!(ask(stream, b"x"), b"x");
    }
    let start = Instant::now();
    let drained = std::thread::spawn(move || server.drain().unwrap());
    let waiting = streams.into_iter().map(|stream| {
        std::thread::spawn(move || {
            assert_eq!(read_to_end(stream).unwrap(), b"");
            start.elapsed()
        })
    });
    let waiting: Vec<_> = waiting.collect();
    let mut ends: Vec<Duration> = waiting.into_iter().map(|end| end.join().unwrap()).collect();
    ends.sort();
    drained.join().unwrap();
    assert!(ends[39] >= 900 * MS, "the last one is closed near the end: {ends:?}");
    let first_half = ends.iter().filter(|end| **end < 500 * MS).count();
    assert!((8..=24).contains(&first_half), "{first_half} of 40 in the first half: {ends:?}");
}

/// Sends a kibibyte to its first connection for each byte of the others, which pause while that has
/// unsent bytes.
#[derive(Clone, Default)]
struct Enlarge {
    to: Option<ConnectionId>,
    from: Option<ConnectionId>,
}

impl Service for Enlarge {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.send(b"!");
        if self.to.is_none() {
            self.to = Some(connection.id());
        } else {
            self.from = Some(connection.id());
        }
    }

    fn receive(&mut self, (): &mut (), _: &[u8], connection: &mut Connection<'_, Self>) -> usize {
        let to = self.to.expect("the first connection sends nothing");
        connection.shard().send(to, &[7; 1024]).expect("it has room");
        if connection.shard().unsent(to) > 0 {
            connection.pause();
        }
        1
    }

    fn sent(&mut self, (): &mut (), connection: &mut Connection<'_, Self>) {
        if let Some(from) = self.from {
            connection.shard().read(from);
        }
    }
}

/// What is collected for a connection counts as unsent. It was sent at once after the callbacks,
/// and its service did not learn that.
#[test]
fn a_service_that_pauses_while_bytes_are_collected_learns_that_they_are_sent() {
    let server = Server::start(&one_shard(), Enlarge::default()).unwrap();
    let mut to = connect(&server);
    to.read_exact(&mut [0]).unwrap();
    let mut from = connect(&server);
    from.read_exact(&mut [0]).unwrap();
    from.write_all(&[0; 500]).unwrap();
    to.read_exact(&mut [0; 500 * 1024]).unwrap();
    drop((to, from));
    assert_eq!(errors(server), 0);
}
