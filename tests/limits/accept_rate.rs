//! The accept rate.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use evshard::server::{AcceptMode, Drain, Echo, Server, ServerConfig};

use crate::clients::{address_of, config, connect_from, is_served, source};
use crate::common::{ServerProcess, TEST_TIMEOUT, eventually, read_to_end};

fn limited(mode: AcceptMode, per_second: u32) -> ServerConfig {
    ServerConfig { accept_rate: NonZeroU32::new(per_second), ..config(mode) }
}

/// Connections of many clients, which the kernel queues. Each has sent a byte.
fn queue(clients: usize, to: SocketAddr) -> Vec<TcpStream> {
    let client = |number| {
        let mut stream = connect_from(source(number), to).unwrap();
        stream.write_all(b"x").unwrap();
        stream
    };
    (0..clients).map(client).collect()
}

fn accepted(server: &Server) -> u64 {
    server.stats().acceptors.iter().map(|acceptor| acceptor.accepted).sum()
}

#[test]
fn a_storm_of_clients_was_accepted_at_once() {
    const CLIENTS: usize = 60;
    const PER_SECOND: u32 = 40;
    for mode in AcceptMode::ALL {
        let server = Server::start(&limited(mode, PER_SECOND), Echo).unwrap();
        let began = Instant::now();
        let mut clients = queue(CLIENTS, address_of(&server));
        // Never more than the rate and a tenth of it.
        while accepted(&server) < CLIENTS as u64 {
            let accepted = accepted(&server);
            let most = began.elapsed().as_secs_f64() * f64::from(PER_SECOND) * 1.01;
            let burst = f64::from(PER_SECOND / 10);
            assert!(accepted as f64 <= most + burst + 1.0, "{mode}: {accepted} of {most}");
            assert!(began.elapsed() < TEST_TIMEOUT, "{mode}: {accepted} were accepted");
            std::thread::sleep(Duration::from_millis(20));
        }
        for client in &mut clients {
            client.read_exact(&mut [0]).expect("none is reset");
        }
        let stats = server.drain().unwrap();
        let waits: u64 = stats.acceptors.iter().map(|acceptor| acceptor.pauses_at_rate).sum();
        assert!(waits > 0 && waits < 2000, "{mode}: an acceptor waits {waits} times");
        assert_eq!(stats.total().errors.total(), 0, "{mode}");
    }
}

#[test]
fn a_server_that_waited_for_its_accept_rate_used_its_core() {
    for mode in AcceptMode::ALL.map(AcceptMode::name) {
        let flags = ["--workers", "2", "--no-pin", "--accept", mode, "--accept-rate", "1"];
        let server = ServerProcess::start(&flags);
        let clients = queue(20, server.address);
        eventually("one is served", || clients.iter().any(has_answer));
        let before = server.cpu_time();
        std::thread::sleep(Duration::from_millis(500));
        let used = server.cpu_time() - before;
        assert!(used < Duration::from_millis(100), "{mode} used {used:?} of half a second");
        assert!(server.terminate().0.success());
    }
}

fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let found = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !found.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_shutdown_waited_for_the_accept_rate_or_reset_the_backlog() {
    for mode in AcceptMode::ALL {
        let drain = Drain { timeout: TEST_TIMEOUT, ..Drain::default() };
        let config = ServerConfig { drain, ..limited(mode, 1) };
        let server = Server::start(&config, Echo).unwrap();
        let clients = queue(30, address_of(&server));
        eventually("it waits", || accepted(&server) > 0);
        let began = Instant::now();
        let stats = server.drain().unwrap();
        assert!(began.elapsed() < Duration::from_secs(15), "{mode}: {:?}", began.elapsed());
        for client in clients {
            assert_eq!(read_to_end(client), Ok(b"x".to_vec()), "{mode}");
        }
        assert_eq!(stats.total().connections, 30, "{mode}");
    }
}

#[test]
fn an_upgrade_beside_the_accept_rate_loses_no_client_of_the_backlog() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("upgrade");
    let path = path.to_str().unwrap();
    for mode in AcceptMode::ALL.map(AcceptMode::name) {
        let flags = ["--workers", "2", "--no-pin", "--accept", mode];
        let rated = [&flags[..], &["--accept-rate", "1", "--upgrade-socket", path]].concat();
        let old = ServerProcess::start(&rated);
        let clients = queue(20, old.address);
        let new = ServerProcess::start(&[&flags[..], &["--upgrade-from", path]].concat());
        assert!(old.wait().0.success());
        for mut client in clients {
            client.read_exact(&mut [0]).expect("one of the two servers answers");
        }
        assert!(is_served(connect_from(source(1), new.address).unwrap()));
        assert!(new.terminate().0.success());
    }
}
