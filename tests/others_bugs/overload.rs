//! Bugs under overload: other servers lost connections or descriptors, or exceeded a limit.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::process::Command;
use std::thread;

use evshard::server::{AcceptMode, Server, ServerConfig};
use test_needs::Need;

use crate::clients::{connect, is_served};
use crate::common::{MS, ServerProcess, TEST_TIMEOUT, eventually, read};
use crate::servers::{Watched, address_of, config};
use crate::stoppable::Stoppable;

const CAPACITY: usize = 4;
const WORKERS: usize = 2;
const STOPPERS: usize = 16;

/// Blocks every worker; returns the connections that block them.
fn stop_workers(address: SocketAddr, service: &Stoppable) -> Vec<TcpStream> {
    // Enough that in every mode each worker has some.
    let mut stoppers: Vec<TcpStream> = (0..STOPPERS).map(|_| connect(address)).collect();
    stoppers.iter().for_each(|stream| assert!(is_served(stream)));
    stoppers.iter_mut().for_each(|stream| stream.write_all(b"!").unwrap());
    service.wait_for(WORKERS);
    stoppers
}

/// lwan, sozu: connections handed to full or ending workers were lost.
#[test]
fn a_full_queue_loses_the_connections_that_do_not_fit() {
    for mode in AcceptMode::ALL {
        let service = Stoppable::default();
        let handoff_capacity = NonZeroUsize::new(CAPACITY).unwrap();
        let config = ServerConfig { handoff_capacity, ..config(mode, WORKERS) };
        let server = Server::start(&config, service.clone()).unwrap();
        let address = address_of(&server);
        let stoppers = stop_workers(address, &service);
        let clients: Vec<TcpStream> = (0..100).map(|_| connect(address)).collect();
        if mode == AcceptMode::Acceptor {
            eventually("the listener is disarmed", || {
                let acceptor = &server.stats().acceptors[0];
                acceptor.pauses_full > 0 && !acceptor.accepting
            });
            let accepted = server.stats().acceptors[0].accepted;
            assert_eq!(accepted, (STOPPERS + WORKERS * CAPACITY + 1) as u64, "one is held");
        }
        service.release_all();
        for mut stream in &stoppers {
            stream.read_exact(&mut [0]).expect("even these are served");
        }
        for stream in clients.iter().chain(&stoppers) {
            assert!(is_served(stream), "{mode}");
        }
        eventually("it accepts again", || {
            server.stats().acceptors.iter().all(|acceptor| acceptor.accepting)
        });
        drop((clients, stoppers));
        assert_eq!(server.drain().unwrap().total().errors.total(), 0, "{mode}");
    }
}

/// Whether every worker of a server runs, or would run if it had a core.
fn all_run(server: &ServerProcess) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let stats = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
    let stats = stats.map(Result::unwrap).filter(|stat| stat.contains("(worker-"));
    stats.filter(|stat| stat.contains(") R ")).count() == WORKERS
}

/// A worker that serves one request for a second accepts and serves nothing else meanwhile.
fn blocked_workers(mode: AcceptMode) {
    let capacity = CAPACITY.to_string();
    let flags = ["--workers", "2", "--no-pin", "--accept", mode.name()];
    let service = ["--handoff-capacity", &capacity, "--service", "work", "--work", "spin:1s"];
    let server = ServerProcess::start(&[&flags[..], &service].concat());
    let before = server.sockets();
    let idle: Vec<TcpStream> = (0..STOPPERS).map(|_| server.connect()).collect();
    eventually("they are adopted", || server.sockets() == before + STOPPERS);
    let mut busy = Vec::new();
    // One at a time, until each worker has one.
    for mut stream in idle {
        if !all_run(&server) {
            stream.write_all(b"x").unwrap();
            thread::sleep(20 * MS);
        }
        busy.push(stream);
    }
    assert!(all_run(&server), "{mode}: both are blocked");
    let clients: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    let held = server.sockets() - before;
    if all_run(&server) {
        // Each acceptor may hold one connection.
        let most = STOPPERS + WORKERS * CAPACITY + WORKERS;
        assert!(held <= most, "{mode}: {held} sockets while no worker serves, {most} at most");
    }
    for stream in clients {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&stream, &mut [0]).unwrap(), 0, "{mode}: served to its end");
    }
    drop(busy);
    eventually("no descriptor is left", || server.sockets() == before);
    assert!(server.terminate().0.success());
}

/// A queue without a consumer held more and more descriptors, and never closed them.
#[test]
fn blocked_workers_leak_descriptors() {
    for mode in AcceptMode::ALL {
        blocked_workers(mode);
    }
}

fn limited(mode: AcceptMode, overload: &str) -> Watched {
    let limit = ["--max-connections", "7", "--overload", overload];
    Watched::start(&[&["--workers", "3", "--no-pin", "--accept", mode.name()], &limit[..]].concat())
}

/// How many of these are answered now; the others get no reply.
fn answered(clients: &[TcpStream]) -> usize {
    let is_answered = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write_all(b"x");
        stream.peek(&mut [0]).is_ok_and(|length| length > 0)
    };
    clients.iter().filter(|stream| is_answered(stream)).count()
}

/// actix: accepting exceeded the connection limit, and did not resume below it.
#[test]
fn the_limit_of_connections_is_only_roughly_kept() {
    for mode in AcceptMode::ALL {
        let watched = limited(mode, "wait");
        let before = watched.server.sockets();
        let mut clients: Vec<TcpStream> = (0..40).map(|_| watched.server.connect()).collect();
        while !clients.is_empty() {
            let expected = clients.len().min(7);
            eventually("as many as the limit allows", || answered(&clients) >= expected);
            assert_eq!(answered(&clients), expected, "{mode}");
            assert!(watched.server.sockets() <= before + 7, "{mode}");
            clients.retain(|stream| stream.peek(&mut [0]).is_err());
        }
        assert!(watched.server.terminate().0.success());
    }
}

/// A client over the limit hung until its own timeout.
#[test]
fn a_client_over_the_limit_hangs_instead_of_being_reset() {
    for mode in AcceptMode::ALL {
        let watched = limited(mode, "shed");
        let held: Vec<TcpStream> = (0..7).map(|_| watched.server.connect()).collect();
        held.iter().for_each(|stream| assert!(is_served(stream)));
        for _ in 0..10 {
            // The reset may come before connect(2) returns.
            let connected = TcpStream::connect(watched.server.address);
            let error = connected.and_then(|stream| {
                stream.set_read_timeout(Some(TEST_TIMEOUT))?;
                (&stream).read(&mut [0])
            });
            assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionReset, "{mode}");
        }
        assert_eq!(watched.of_acceptors("shed"), 10, "{mode}");
        held.iter().for_each(|stream| assert!(is_served(stream), "{mode}"));
        drop(held);
        eventually("there is room again", || is_served(&watched.server.connect()));
        assert!(watched.server.terminate().0.success());
    }
}

/// evshard: resets of new connections were counted and not logged.
#[test]
fn resets_for_lack_of_room_were_not_logged() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--no-pin"]);
    command.args(["--max-connections", "1", "--overload", "shed"]);
    let (log, stderr) = std::io::pipe().unwrap();
    let server = ServerProcess::spawn_with_stderr(command, stderr);
    let held = server.connect();
    assert!(is_served(&held));
    for _ in 0..100 {
        let _ = TcpStream::connect(server.address).and_then(|stream| (&stream).read(&mut [0]));
    }
    assert!(server.terminate().0.success());
    let log = std::io::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("was reset")).collect();
    assert!((1..20).contains(&lines.len()), "{log}");
    let expected =
        "a new connection was reset: the connection limit is reached shed=1 suppressed=0";
    assert!(lines[0].ends_with(expected), "{log}");
}

/// sledge: with a backlog of 128, clients that connected at once were not queued, and tried again
/// after a second.
#[test]
fn a_burst_does_not_fit_the_backlog() {
    const BURST: u32 = 250;
    if test_needs::missing(Need::Backlog(BURST + 100)) {
        return;
    }
    let server = ServerProcess::start(&["--workers", "1", "--accept", "acceptor-in-shard0"]);
    server.signal("STOP");
    let connect = || TcpStream::connect_timeout(&server.address, 500 * MS);
    let clients: Vec<_> = (0..BURST).map(|_| connect().expect("it is queued")).collect();
    server.signal("CONT");
    clients.iter().for_each(|stream| assert!(is_served(stream)));
}
