//! Tests of opening: several addresses at once, and several sockets at one.

#![cfg(not(loom))]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use test_needs::Need;

use super::*;

fn config(mode: AcceptMode, workers: usize, listen: &[&str]) -> ServerConfig {
    ServerConfig {
        accept: mode,
        workers: NonZeroUsize::new(workers).unwrap(),
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        ..ServerConfig::default()
    }
}

fn tcp_address(listener: &Listener) -> SocketAddr {
    let ListenAddress::Tcp(address) = listener.address else { panic!("{listener:?} is TCP") };
    address
}

/// Accepts everything that waits at one of the sockets.
fn accepted(socket: &Socket) -> usize {
    std::iter::from_fn(|| socket.accept().ok()).count()
}

fn kind_of(error: Error) -> (ErrorKind, String) {
    let text = error.to_string();
    let Error::Listen { source, .. } = error else { panic!("{text} is about listening") };
    (source.kind(), text)
}

#[test]
fn both_families_and_a_path_are_listened_on_at_once() {
    if test_needs::missing(Need::Ipv6) {
        return;
    }
    let folder = test_needs::folder();
    let path = folder.path().join("web.sock");
    let unix = format!("unix:{}", path.display());
    let config = config(AcceptMode::Acceptor, 2, &["127.0.0.1:0", "[::1]:0", &unix]);
    let listeners = open(&config).unwrap();
    let [v4, v6, file] = &listeners[..] else { panic!("in the order asked for") };
    let mut clients: [Box<dyn Write>; 3] = [
        Box::new(TcpStream::connect(tcp_address(v4)).unwrap()),
        Box::new(TcpStream::connect(tcp_address(v6)).unwrap()),
        Box::new(UnixStream::connect(&path).unwrap()),
    ];
    for (client, listener) in clients.iter_mut().zip(&listeners) {
        client.write_all(b"x").unwrap();
        let [socket] = &listener.sockets[..] else { panic!("one socket for one acceptor") };
        let (mut served, _) = socket.accept().unwrap();
        served.set_nonblocking(false).unwrap();
        served.read_exact(&mut [0]).unwrap();
        if listener.address != file.address {
            assert!(served.tcp_nodelay().unwrap(), "inherited from the listening socket");
        }
    }
    assert_eq!(file.address.to_string(), unix);
    assert!(matches!(v6.address, ListenAddress::Tcp(a) if a.port() != 0));
    drop(listeners);
    assert!(!path.exists(), "the file goes with its listener");
}

#[test]
fn the_wildcards_of_both_families_share_a_port() {
    if test_needs::missing(Need::Ipv6) {
        return;
    }
    // A client of another test may have the port of IPv4.
    let opened = (0..100).find_map(|_| {
        let v6 = open(&config(AcceptMode::Acceptor, 1, &["[::]:0"])).unwrap();
        let port = tcp_address(&v6[0]).port();
        let v4 = open(&config(AcceptMode::Acceptor, 1, &[&format!("0.0.0.0:{port}")])).ok()?;
        Some((port, v6, v4))
    });
    let (port, v6, v4) = opened.expect("one port of many is free in both families");
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!((accepted(&v4[0].sockets[0]), accepted(&v6[0].sockets[0])), (1, 0));
}

#[test]
fn every_worker_has_a_socket_that_gets_its_share() {
    if test_needs::missing(Need::Descriptors(1_000)) {
        return;
    }
    for mode in [AcceptMode::ReusePort, AcceptMode::Hybrid] {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            if address.contains("::1") && test_needs::missing_for_part(Need::Ipv6) {
                continue;
            }
            let listeners = open(&config(mode, 4, &[address])).unwrap();
            let [listener] = &listeners[..] else { panic!("one address") };
            let own: Vec<_> =
                listener.sockets.iter().map(|s| tcp::address_of(s).unwrap().unwrap()).collect();
            assert_eq!(own, vec![tcp_address(listener); 4], "the first fixes the port");
            let _clients: Vec<_> =
                (0..200).map(|_| TcpStream::connect(tcp_address(listener)).unwrap()).collect();
            let shares: Vec<_> = listener.sockets.iter().map(accepted).collect();
            assert_eq!(shares.iter().sum::<usize>(), 200);
            // A fair hash gives one of four fewer than 10 of 200 once in 10^13 runs.
            assert!(shares.iter().all(|share| *share >= 10), "{shares:?}");
        }
    }
}

#[test]
fn a_second_server_is_refused_in_every_mode() {
    for first in AcceptMode::ALL {
        let listeners = open(&config(first, 2, &["127.0.0.1:0"])).unwrap();
        let address = listeners[0].address.to_string();
        for second in AcceptMode::ALL {
            let (kind, text) = kind_of(open(&config(second, 2, &[&address])).unwrap_err());
            assert_eq!(kind, ErrorKind::AddrInUse, "{first} then {second}");
            assert!(text.contains(&address) && text.contains("another port"), "{text}");
        }
    }
}

#[test]
fn an_address_is_free_as_soon_as_its_server_is_gone() {
    let address = {
        let listeners = open(&config(AcceptMode::ReusePort, 2, &["127.0.0.1:0"])).unwrap();
        let address = tcp_address(&listeners[0]);
        // The server closes first, so that its end of the connection lingers in TIME_WAIT.
        let mut client = TcpStream::connect(address).unwrap();
        let served = listeners[0].sockets.iter().find_map(|socket| socket.accept().ok()).unwrap();
        drop(served);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        address
    };
    open(&config(AcceptMode::Hybrid, 2, &[&address.to_string()])).unwrap();
}

#[test]
fn an_error_of_a_path_has_its_remedy() {
    let folder = test_needs::folder();
    let attempt = |path: PathBuf| {
        let listen = vec![ListenAddress::Unix(path).into()];
        kind_of(open(&ServerConfig { listen, ..ServerConfig::default() }).unwrap_err()).1
    };
    assert!(attempt(folder.path().join("no/socket")).contains("create its folder"));
    assert!(attempt(folder.path().join("x".repeat(200))).contains("107 bytes"));
    assert!(attempt(folder.path().to_owned()).contains("is no socket"));
    let path = folder.path().join("live");
    let _live = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let message = attempt(path.clone());
    assert!(message.contains(&format!("unix:{}", path.display())), "{message}");
    assert!(message.contains("another path"), "{message}");
}

#[test]
fn the_same_address_twice_is_an_error_and_leaves_nothing() {
    let folder = test_needs::folder();
    let path = folder.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let error = open(&config(AcceptMode::Acceptor, 1, &[&unix, &unix])).unwrap_err();
    assert_eq!(kind_of(error).0, ErrorKind::AddrInUse);
    assert!(!path.exists(), "the first was closed again");
}

#[test]
fn listeners_of_another_server_are_widened_to_the_workers_there_are() {
    for (had, has, expected) in [(1, 3, 3), (2, 3, 3), (3, 3, 3), (4, 3, 4)] {
        let mut listeners = open(&config(AcceptMode::ReusePort, had, &["127.0.0.1:0"])).unwrap();
        fit(&mut listeners, &config(AcceptMode::ReusePort, has, &["127.0.0.1:0"]));
        assert_eq!(listeners[0].sockets.len(), expected, "{had} sockets, {has} workers");
    }
    // What a service manager shares stays as it is.
    let mut listeners = open(&config(AcceptMode::Acceptor, 1, &["127.0.0.1:0"])).unwrap();
    listeners[0].origin = Origin::Shared;
    fit(&mut listeners, &config(AcceptMode::Hybrid, 3, &["127.0.0.1:0"]));
    assert_eq!(listeners[0].sockets.len(), 1);
}

#[test]
fn a_widened_listener_goes_on_with_what_was_queued() {
    let mut listeners = open(&config(AcceptMode::Acceptor, 1, &["127.0.0.1:0"])).unwrap();
    let address = tcp_address(&listeners[0]);
    let queued: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    fit(&mut listeners, &config(AcceptMode::ReusePort, 4, &["127.0.0.1:0"]));
    let more: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut found = 0;
    while found < queued.len() + more.len() {
        assert!(Instant::now() < deadline, "{found} of 40");
        found += listeners[0].sockets.iter().map(accepted).sum::<usize>();
    }
}
