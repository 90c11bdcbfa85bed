//! Bugs at the end of a server, or of a connection whose service or client misbehaves.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{AcceptMode, Closed, Connection, Server, Service, Shard};
use test_needs::Need;

use crate::clients::{connect, is_served};
use crate::common::{MS, ServerProcess, TEST_TIMEOUT, eventually, read, total};
use crate::servers::{Watched, address_of, config, in_every_mode};

/// The longest time until an end that passes: enough for a loaded machine.
pub(crate) const END_TIME_MAX: Duration = Duration::from_secs(20);

/// A client that does not read its replies.
fn stuck(server: &ServerProcess) -> TcpStream {
    let mut stream = server.connect();
    stream.set_write_timeout(Some(200 * MS)).unwrap();
    while stream.write(&[7; 1 << 16]).is_ok() {}
    stream
}

/// A second signal during a drain was ignored or ended nothing, so operators sent SIGKILL.
#[test]
fn a_second_sigterm_is_ignored() {
    let second_ends_it = |first: &str, second: &str, expected: i32| {
        let server = ServerProcess::start(&["--workers", "1", "--drain-timeout", "1h"]);
        let client = stuck(&server);
        server.signal(first);
        eventually("the drain began", || TcpStream::connect(server.address).is_err());
        server.signal(second);
        assert_eq!(server.wait().0.code(), Some(expected));
        drop(client);
    };
    thread::scope(|scope| {
        scope.spawn(|| second_ends_it("TERM", "TERM", 143));
        scope.spawn(|| second_ends_it("TERM", "INT", 130));
        scope.spawn(|| second_ends_it("INT", "TERM", 143));
    });
}

/// HAProxy, gunicorn: connections that never end kept an old process alive for ever.
#[test]
fn one_client_that_never_ends_keeps_a_drain_from_ending() {
    in_every_mode(|mode| {
        let drain = ["--drain-timeout", "500ms", "--accept", mode.name(), "--workers", "2"];
        let server = ServerProcess::start(&drain);
        let mut stuck = stuck(&server);
        let mut chatty = server.connect();
        let chat = thread::spawn(move || {
            while chatty.write_all(b"x").is_ok() && read(&chatty, &mut [0]).is_ok_and(|n| n > 0) {}
        });
        let start = Instant::now();
        assert!(server.terminate().0.success());
        let took = start.elapsed();
        assert!(took >= 500 * MS && took < END_TIME_MAX, "{mode}: {took:?}");
        chat.join().unwrap();
        // An orderly close would claim that this was everything.
        let error = stuck.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{mode}");
    });
}

/// Envoy, Kubernetes' ingresses: a server stopped accepting before its load balancer was notified.
#[test]
fn clients_are_refused_before_the_balancer_is_notified() {
    let ends_late = |by_signal: bool| {
        let watched = Watched::start(&["--workers", "2", "--drain-delay", "1s"]);
        assert_eq!(watched.http("GET", "/readyz"), (200, "ready\n".to_owned()));
        let start = Instant::now();
        if by_signal {
            watched.server.signal("TERM");
        } else {
            assert_eq!(watched.http("POST", "/drain").0, 202);
        }
        eventually("it reports draining", || watched.http("GET", "/readyz").0 == 503);
        assert_eq!(watched.http("GET", "/healthz").0, 200, "a drain is no reason to be killed");
        while start.elapsed() < 700 * MS {
            assert!(is_served(&watched.server.connect()), "accepted after {:?}", start.elapsed());
        }
        let (address, admin) = (watched.server.address, watched.admin);
        assert!(watched.server.wait().0.success());
        assert!(start.elapsed() >= 1000 * MS);
        assert!(TcpStream::connect(address).is_err() && TcpStream::connect(admin).is_err());
    };
    thread::scope(|scope| {
        scope.spawn(|| ends_late(true));
        scope.spawn(|| ends_late(false));
    });
}

/// A deadline had no effect: clients held a connection and sent nothing.
#[test]
fn a_timeout_of_the_command_line_reaches_no_connection() {
    in_every_mode(|mode| {
        let end_of = |timeout: &str, first: &[u8]| {
            let flags = ["--workers", "2", "--accept", mode.name(), timeout, "200ms"];
            let server = ServerProcess::start(&flags);
            let mut stream = server.connect();
            stream.write_all(first).unwrap();
            let start = Instant::now();
            let mut echo = Vec::new();
            stream.read_to_end(&mut echo).unwrap();
            assert_eq!(echo, first);
            let took = start.elapsed();
            assert!(took >= 150 * MS && took < END_TIME_MAX, "{mode} {timeout}: {took:?}");
        };
        end_of("--first-byte-timeout", b"");
        end_of("--idle-timeout", b"x");
    });
}

/// The same for a connection that must begin with a PROXY header.
#[test]
fn a_timeout_of_the_command_line_does_not_reach_the_header() {
    let trust =
        ["--proxy-protocol", "require", "--proxy-trust", "127.0.0.0/8", "--buffer", "64KiB"];
    let server = ServerProcess::start(&trust);
    let mut stream = server.connect();
    stream.write_all(b"PROXY ").unwrap();
    assert_eq!(read(&stream, &mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Panics in the method that its connection's first byte names; the others do nothing wrong.
#[derive(Clone)]
struct Clumsy;

/// The first byte of the connection.
struct Word(u8);

impl Service for Clumsy {
    type Session = Word;
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) -> Word {
        // A first byte would come too late for a panic in here.
        assert!(connection.listener() == Some(0), "a panic that the test asked for");
        Word(0)
    }

    fn receive(
        &mut self,
        word: &mut Word,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        assert!(input[0] != b'r', "a panic that the test asked for");
        word.0 = input[0];
        if word.0 == b'p' {
            connection.pause_for(MS);
        } else {
            connection.send(input);
        }
        input.len()
    }

    fn resume(&mut self, _: &mut Word, _: &mut Connection<'_, Self>) {
        panic!("a panic that the test asked for");
    }

    fn end(&mut self, word: &mut Word, _: &[u8], connection: &mut Connection<'_, Self>) {
        assert!(word.0 != b'e', "a panic that the test asked for");
        connection.close();
    }

    fn drain(&mut self, word: &mut Word, _: &mut Connection<'_, Self>) {
        assert!(word.0 != b'd', "a panic that the test asked for");
    }

    fn close(&mut self, word: Word, _: Closed, _: &mut Shard<'_, Self>) {
        assert!(word.0 != b'c', "a panic that the test asked for");
    }
}

/// In many servers: a panic of one connection ended the thread of all others.
#[test]
fn a_panic_of_one_connection_ends_its_whole_shard() {
    for mode in AcceptMode::ALL {
        let mut config = config(mode, 1);
        config.listen.push("127.0.0.1:0".parse().unwrap());
        let server = Server::start(&config, Clumsy).unwrap();
        let evshard::server::ListenAddress::Tcp(other) = server.addresses()[1] else { panic!() };
        let unaffected = connect(address_of(&server));
        assert!(is_served(&unaffected));
        for clumsy in *b"orpec" {
            let mut stream = connect(if clumsy == b'o' { other } else { address_of(&server) });
            // A reset is reported once, to the first call.
            let sent = stream.write_all(&[clumsy]);
            let _ = stream.shutdown(Shutdown::Write);
            let end = sent.and_then(|()| stream.read_to_end(&mut Vec::new()));
            let end = end.map_err(|error| error.kind());
            assert!(matches!(end, Ok(1) | Err(ErrorKind::ConnectionReset)), "{mode}: {end:?}");
            assert!(is_served(&unaffected), "{mode}: after a panic in {}", clumsy as char);
        }
        let mut last = connect(address_of(&server));
        last.write_all(b"d").unwrap();
        last.read_exact(&mut [0]).unwrap();
        eventually("the others are gone", || server.stats().total().open == 2);
        drop(unaffected);
        let panicked = server.drain().unwrap().total().errors.panicked;
        assert_eq!(panicked, 6, "{mode}: and each is counted");
        assert!(
            last.set_read_timeout(Some(TEST_TIMEOUT)).is_ok() && read(&last, &mut [0]).is_err()
        );
    }
}

/// evshard: at the process limit, the thread that was to drain the server could not be started, and
/// the program aborted with all its connections.
#[test]
fn a_server_that_cannot_start_a_thread_any_more_aborts_instead_of_draining() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    let server = ServerProcess::start(&["--workers", "2", "--no-pin"]);
    let client = server.connect();
    assert!(is_served(&client));
    let mut tracer = Command::new("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", "inject=clone,clone3:error=EAGAIN"])
        .args(["-p", &server.pid().to_string()])
        .spawn()
        .unwrap();
    eventually("no thread can be started", || server.status("TracerPid:") != 0);
    let (status, table) = server.terminate();
    assert!(status.success(), "{status}");
    assert_eq!((total(&table, "connections"), total(&table, "errors")), (1, 0));
    tracer.wait().unwrap();
}
