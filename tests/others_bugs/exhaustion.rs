//! Exhausted descriptors and errors of accept(2). Other servers spun, ended or stopped accepting.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::AcceptMode;
use test_needs::Need;

use crate::clients::{connect, is_served, reset_when_dropped};
use crate::common::{MS, ServerProcess, eventually, read};
use crate::servers::{Watched, in_every_mode};

fn in_mode(mode: AcceptMode) -> [&'static str; 5] {
    ["--workers", "2", "--no-pin", "--accept", mode.name()]
}

/// A client that has sent a byte and does not block on the reply.
struct Waiting {
    stream: TcpStream,
    served: bool,
    gone: bool,
}

impl Waiting {
    fn new(server: &ServerProcess) -> Self {
        let mut stream = server.connect();
        let gone = stream.write_all(b"x").is_err();
        stream.set_nonblocking(true).unwrap();
        Self { stream, served: false, gone }
    }

    fn look(&mut self) {
        match read(&self.stream, &mut [0]) {
            Ok(length) => self.served |= length > 0,
            Err(error) => self.gone |= error.kind() != ErrorKind::WouldBlock,
        }
    }
}

fn served(clients: &mut [Waiting]) -> usize {
    clients.iter_mut().for_each(Waiting::look);
    clients.iter().filter(|client| client.served).count()
}

fn exhausted_for_seconds(mode: AcceptMode, overload: &str) {
    let flags = [&in_mode(mode)[..], &["--overload", overload]].concat();
    let Watched { server, .. } = Watched::start(&flags);
    let room = server.descriptors() as u64 + 20;
    server.allow_descriptors(room);
    let mut clients: Vec<Waiting> = (0..60).map(|_| Waiting::new(&server)).collect();
    let sheds = overload == "shed";
    eventually("the descriptors run out, and a client is reset if that is wanted", || {
        served(&mut clients) >= 15 && clients.iter().any(|client| client.gone) == sheds
    });
    let (cpu, start) = (server.cpu_time(), Instant::now());
    thread::sleep(3000 * MS);
    let busy = (server.cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(busy < 0.05, "{mode}: {busy:.4} of a core while exhausted");

    // Between two closes the back-off has grown to more than half a second. A faster replacement
    // shows that the acceptors were notified.
    let mut took: Vec<Duration> = (0..3).map(|_| replaced_after(&mut clients)).collect();
    took.sort();
    assert!(took[1] < 200 * MS, "{mode}: {took:?}");
    let reset = clients.iter().filter(|client| client.gone).count();
    assert_eq!(reset > 0, sheds, "{mode}: {reset} clients were reset with {overload}");
    drop(clients);
    // Clients in the backlog are accepted first, and one of them may still be reset.
    eventually("clients are served again", || is_served(&server.connect()));
    assert!(server.terminate().0.success());
}

/// Closes one client; returns how long it takes until another is served. If an acceptor has lost
/// its reserve to another one, that takes the descriptor, and no client is served.
fn replaced_after(clients: &mut Vec<Waiting>) -> Duration {
    thread::sleep(700 * MS);
    let before = served(clients);
    let index = clients.iter().position(|client| client.served && !client.gone).unwrap();
    drop(clients.remove(index));
    let start = Instant::now();
    while served(clients) < before && start.elapsed() < 5000 * MS {
        thread::sleep(MS);
    }
    start.elapsed()
}

/// bun, libuv, nanomsg, ranch: accept(2) failed a hundred thousand times a second. pg_doorman:
/// machines stayed stuck long after there were descriptors again.
#[test]
fn running_out_of_descriptors_costs_a_core_or_lasts_for_ever() {
    in_every_mode(|mode| exhausted_for_seconds(mode, "shed"));
}

/// evshard: clients that should have waited were reset while there was no descriptor.
#[test]
fn running_out_of_descriptors_resets_clients_that_should_wait() {
    in_every_mode(|mode| exhausted_for_seconds(mode, "wait"));
}

/// gnet: the first error of accept(2) ended the server.
#[test]
fn an_error_of_accept_ends_the_server() {
    for mode in AcceptMode::ALL {
        // A ring that a worker opens later would take the reserve of the admin for good.
        let flags = [&in_mode(mode)[..], &["--changelist", "immediate"]].concat();
        let watched = Watched::start(&flags);
        let server = &watched.server;
        let room = server.descriptors() as u64;
        for round in 1..=5 {
            server.allow_descriptors(room);
            // Some close before they are accepted.
            for client in 0..20 {
                let stream = server.connect();
                if client % 2 == 0 {
                    reset_when_dropped(&stream);
                }
            }
            eventually("it ran out", || {
                drop(server.connect());
                watched.of_acceptors("pauses_exhausted") >= round
            });
            server.allow_descriptors(1000);
            eventually("it serves again", || is_served(&server.connect()));
        }
        assert!(watched.server.terminate().0.success(), "{mode}");
    }
}

/// Errors of accept(2) that concern one connection only.
#[test]
fn an_error_of_one_connection_is_taken_for_an_error_of_the_listener() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for error in ["ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "EPERM", "EINTR"] {
        let inject = format!("inject=accept4:error={error}:when=1+2");
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject]);
        command.args([env!("CARGO_BIN_EXE_evshard"), "serve", "--listen", "127.0.0.1:0"]);
        let server = ServerProcess::spawn(command);
        for _ in 0..20 {
            assert!(is_served(&connect(server.address)), "after {error}");
        }
        let (status, table) = server.terminate();
        assert!(status.success(), "{error}: {table}");
    }
}

/// A firewall or a sandbox refused every call with an error that may concern one connection only.
/// The acceptor made the call again at once, for ever, and logged nothing.
#[test]
fn an_accept_that_always_fails_costs_a_core() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for error in ["EPERM", "EOPNOTSUPP", "ECONNABORTED"] {
        let inject = format!("inject=accept4:error={error}");
        let folder = test_needs::folder();
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.env("INJECT", inject).env("LOG", &log);
        command.env("SERVER", env!("CARGO_BIN_EXE_evshard"));
        command.args([
            "-c",
            "exec strace -D -f -o /dev/null -e trace=accept4 -e $INJECT \
            $SERVER serve --listen 127.0.0.1:0 2>$LOG",
        ]);
        let server = ServerProcess::spawn(command);
        let _client = server.connect();
        let lines = || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.lines().filter(|line| line.contains("accepting pauses")).count()
        };
        eventually("it is logged", || lines() > 0);
        let (cpu, start) = (server.cpu_time(), Instant::now());
        thread::sleep(1500 * MS);
        let busy = (server.cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        assert!(busy < 0.05, "{error}: {busy:.4} of a core");
        assert!(
            lines() <= 1 + start.elapsed().as_secs() as usize + 1,
            "{error}: {} lines",
            lines()
        );
        assert!(server.terminate().0.success());
    }
}
