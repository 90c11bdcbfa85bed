//! The limit of connections per source.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::Instant;

use evshard::server::{
    AcceptMode, ConnectionsPerSource, Drain, Echo, Placement, ProxyMode, ProxyProtocol, Server,
    ServerConfig,
};
use test_needs::Need;

use crate::clients::{address_of, config, connect_from, is_served, served_from, source};
use crate::common::{ServerProcess, TEST_TIMEOUT, eventually};

fn limited(mode: AcceptMode, max: usize) -> ServerConfig {
    let max = NonZeroUsize::new(max).unwrap();
    let connections_per_source = Some(ConnectionsPerSource::new(max));
    ServerConfig { connections_per_source, ..config(mode) }
}

fn reset_at_accept(server: &Server) -> u64 {
    server.stats().acceptors.iter().map(|acceptor| acceptor.source_limit).sum()
}

#[test]
fn one_client_took_the_connections_of_all_others() {
    for mode in AcceptMode::ALL {
        let server = Server::start(&limited(mode, 2), Echo).unwrap();
        let address = address_of(&server);
        let mut held: Vec<TcpStream> = Vec::new();
        for client in 0..40 {
            held.extend((0..2).map(|_| served_from(source(client), address).unwrap()));
            assert!(served_from(source(client), address).is_none(), "{mode}");
        }
        assert_eq!((reset_at_accept(&server), server.stats().sources), (40, 40), "{mode}");
        for stream in &held {
            assert!(is_served(stream), "{mode}");
        }
        // One of the two closes: there is room for one.
        drop(held.swap_remove(0));
        eventually("the source has room again", || {
            held.extend(served_from(source(0), address));
            held.len() == 80
        });
        assert!(served_from(source(0), address).is_none(), "{mode}");
        drop(held);
        eventually("no source has connections", || server.stats().sources == 0);
        let stats = server.drain().unwrap();
        assert_eq!(stats.total().errors.total(), 0, "{mode}");
    }
}

#[test]
fn a_limit_per_source_beside_a_placement_by_core_or_address_counts_the_same() {
    for placement in [Placement::IncomingCpu, Placement::SourceHash] {
        let config = ServerConfig { placement, ..limited(AcceptMode::Acceptor, 1) };
        let server = Server::start(&config, Echo).unwrap();
        let _held = served_from(source(1), address_of(&server)).unwrap();
        assert!(served_from(source(1), address_of(&server)).is_none(), "{placement:?}");
        assert!(served_from(source(2), address_of(&server)).is_some(), "{placement:?}");
    }
}

#[test]
fn addresses_of_one_network_are_one_source() {
    let max = NonZeroUsize::new(2).unwrap();
    let per_source = ConnectionsPerSource { ipv4_prefix: 24, ..ConnectionsPerSource::new(max) };
    let config = ServerConfig {
        connections_per_source: Some(per_source),
        ..config(AcceptMode::AcceptorInShard0)
    };
    let server = Server::start(&config, Echo).unwrap();
    let from = |client| served_from(source(client), address_of(&server));
    let _held = [from(1).unwrap(), from(200).unwrap()];
    assert!(from(7).is_none());
    assert!(from(256).is_some(), "it is of the next network");
}

#[test]
fn a_client_with_ipv6_is_limited_and_one_of_a_unix_socket_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut config = limited(AcceptMode::Hybrid, 1);
    config.listen = vec![format!("unix:{}", path.display()).parse().unwrap()];
    let has_ipv6 = !test_needs::missing_for_part(Need::Ipv6);
    if has_ipv6 {
        config.listen.insert(0, "[::1]:0".parse().unwrap());
    }
    let server = Server::start(&config, Echo).unwrap();
    let held: Vec<UnixStream> = (0..5).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert!(held.iter().all(is_served));
    if has_ipv6 {
        let held = TcpStream::connect(address_of(&server)).unwrap();
        assert!(is_served(&held));
        let refused = TcpStream::connect(address_of(&server));
        assert!(!refused.is_ok_and(is_served));
    }
}

/// A connection through a proxy at this address, for the client `192.0.2.<client>`.
fn proxied(proxy: Ipv4Addr, client: usize, to: SocketAddr) -> TcpStream {
    let mut stream = connect_from(proxy, to).unwrap();
    write!(stream, "PROXY TCP4 192.0.2.{client} 198.51.100.1 4711 443\r\n").unwrap();
    stream
}

#[test]
fn all_clients_of_a_proxy_were_one_source() {
    let trusted = vec!["127.1.0.0/24".parse().unwrap()];
    for mode in AcceptMode::ALL {
        let proxy = ProxyProtocol { mode: ProxyMode::Optional, trusted: trusted.clone() };
        let config = ServerConfig { proxy, ..limited(mode, 1) };
        let server = Server::start(&config, Echo).unwrap();
        let address = address_of(&server);
        let mut held = Vec::new();
        for client in 0..30 {
            let stream = proxied(source(client % 3), client, address);
            assert!(is_served(&stream), "{mode}");
            held.push(stream);
            // Through another proxy it is the same source.
            assert!(!is_served(proxied(source(100), client, address)), "{mode}");
        }
        // Without a header the proxy itself is the source.
        let own = served_from(source(200), address);
        assert!(own.is_some() && served_from(source(200), address).is_none(), "{mode}");
        let stats = server.stats();
        assert_eq!((stats.sources, stats.total().errors.source_limit), (31, 31), "{mode}");
        assert_eq!(reset_at_accept(&server), 0, "{mode}");
        // The header of another network is not trusted, so its peers are counted when accepted.
        let _untrusted = served_from(source(256), address).unwrap();
        assert!(served_from(source(256), address).is_none(), "{mode}");
        assert_eq!(reset_at_accept(&server), 1, "{mode}");
        drop((held, own));
        eventually("only one source has connections", || server.stats().sources == 1);
    }
}

#[test]
fn a_count_of_connections_drifted_while_many_opened_and_closed() {
    for mode in AcceptMode::ALL {
        let server = Server::start(&limited(mode, 3), Echo).unwrap();
        let address = address_of(&server);
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..200 {
                        let client = source((thread + round) % 3);
                        // Half of them close at once, so that the server finds them closed.
                        match connect_from(client, address) {
                            Ok(stream) if round % 2 == 0 => _ = is_served(&stream),
                            _ => {}
                        }
                    }
                });
            }
        });
        eventually("no source has connections", || server.stats().sources == 0);
        for client in 0..3 {
            let from = |_| served_from(source(client), address);
            assert!((0..3).map(from).collect::<Vec<_>>().iter().all(Option::is_some), "{mode}");
            eventually("no source has connections", || server.stats().sources == 0);
        }
    }
}

#[test]
fn a_drain_ends_also_while_a_source_is_over_its_limit() {
    for mode in AcceptMode::ALL {
        let drain = Drain { timeout: TEST_TIMEOUT, ..Drain::default() };
        let server = Server::start(&ServerConfig { drain, ..limited(mode, 1) }, Echo).unwrap();
        let address = address_of(&server);
        let mut held = served_from(source(1), address).unwrap();
        assert!(served_from(source(1), address).is_none());
        let began = Instant::now();
        let stats = server.drain().unwrap();
        assert!(began.elapsed() < TEST_TIMEOUT / 2, "{mode}");
        assert_eq!(held.read(&mut [0]).unwrap(), 0, "an orderly end");
        assert_eq!((stats.sources, stats.total().errors.total()), (0, 0), "{mode}");
    }
}

#[test]
fn a_successor_limits_sources_by_its_own_connections() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("upgrade");
    let path = path.to_str().unwrap();
    let limit = ["--workers", "1", "--no-pin", "--max-connections-per-source", "1"];
    let old = ServerProcess::start(&[&limit[..], &["--upgrade-socket", path]].concat());
    let held = served_from(source(1), old.address).unwrap();
    assert!(served_from(source(1), old.address).is_none());
    let new = ServerProcess::start(&[&limit[..], &["--upgrade-from", path]].concat());
    drop(held);
    assert!(old.wait().0.success());
    let _held = served_from(source(1), new.address).unwrap();
    assert!(served_from(source(1), new.address).is_none());
    assert!(served_from(source(2), new.address).is_some());
    assert!(new.terminate().0.success());
}

#[test]
fn resets_of_one_source_are_one_log_line_a_second_that_names_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--no-pin"]);
    command.args(["--accept", "reuseport", "--max-connections-per-source", "1/16"]);
    let (log, stderr) = std::io::pipe().unwrap();
    let server = ServerProcess::spawn_with_stderr(command, stderr);
    let _held = served_from(source(1), server.address).unwrap();
    let began = Instant::now();
    for client in 0..50 {
        assert!(served_from(source(client), server.address).is_none());
    }
    let seconds = began.elapsed().as_secs() + 1;
    assert!(server.terminate().0.success());
    let log = std::io::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("was reset")).collect();
    assert!((1..=seconds).contains(&(lines.len() as u64)), "{log}");
    let expected = "its source has as many open as one may have source=127.1.0.0/16 max=1";
    assert!(lines[0].contains(expected) && lines[0].ends_with("suppressed=0"), "{log}");
}
