//! Listeners.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use evshard::{
    Accepted, BuffereventError, BuffereventHandlers, BuffereventOptions, Interest, ListenOptions,
    ListenerId, ListenerMut, Registry, Token,
};
use test_needs::Need;

use crate::app::{App, Bench, bench, echo, logging, on_each_backend};

/// How long the kernel keeps the addresses of a connection that the server closed first.
const TIME_WAIT: Duration = Duration::from_secs(60);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn on_accept(_: &mut Registry<App>, app: &mut App, id: ListenerId, accepted: Accepted) {
    app.accepted.push((id, accepted));
}

fn listen_with(bench: &mut Bench, options: ListenOptions) -> (ListenerId, SocketAddr) {
    let table = &mut bench.app.table;
    let id = table.listen(bench.base.registry(), any_port(), options, on_accept).unwrap();
    let address = listener(bench, id).local_address().unwrap();
    (id, address)
}

fn listen(bench: &mut Bench) -> (ListenerId, SocketAddr) {
    listen_with(bench, ListenOptions::default())
}

fn listener(bench: &mut Bench, id: ListenerId) -> ListenerMut<'_, App> {
    bench.app.table.listener(bench.base.registry(), id).expect("it exists")
}

fn run_until_accepted(bench: &mut Bench, count: usize) {
    bench.run_until("connection", |bench| bench.app.accepted.len() >= count);
    assert_eq!(bench.app.accepted.len(), count);
}

fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn each_connection_is_accepted_with_its_peer_and_does_not_block() {
    on_each_backend(|bench| {
        let (id, address) = listen(bench);
        let clients = connect(address, 3);
        run_until_accepted(bench, 3);
        let mut peers: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        let mut accepted = Vec::new();
        for (from, Accepted { socket, peer }) in bench.app.accepted.drain(..) {
            assert_eq!(from, id);
            accepted.push(peer.unwrap());
            let socket = socket2::Socket::from(socket);
            let flags = rustix::io::fcntl_getfd(&socket).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC) && socket.keepalive().unwrap());
            let error = TcpStream::from(socket).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        peers.sort();
        accepted.sort();
        assert_eq!(accepted, peers);
    });
}

#[test]
fn an_accepted_socket_becomes_a_bufferevent() {
    on_each_backend(|bench| {
        let (id, address) = listen(bench);
        listener(bench, id).set_handler(|registry, app, _, accepted| {
            let options = BuffereventOptions::empty();
            let id = app.table.socket(registry, accepted.socket, options).unwrap();
            let mut bufferevent = app.table.get(registry, id).unwrap();
            bufferevent.set_handlers(BuffereventHandlers { read: Some(echo), ..logging() });
            bufferevent.enable(Interest::READ);
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"hello").unwrap();
        client.set_nonblocking(true).unwrap();
        let mut echoed = [0; 5];
        bench.run_until("echo", |_| client.read(&mut echoed).is_ok());
        assert_eq!(&echoed, b"hello");
    });
}

#[test]
fn a_disabled_listener_accepts_nothing_until_it_is_enabled() {
    on_each_backend(|bench| {
        let options = ListenOptions { disabled: true, ..Default::default() };
        let (id, address) = listen_with(bench, options);
        assert!(!listener(bench, id).is_enabled());
        let _clients = connect(address, 2);
        for _ in 0..3 {
            bench.turn();
        }
        assert!(bench.app.accepted.is_empty());
        listener(bench, id).enable().unwrap();
        run_until_accepted(bench, 2);
        listener(bench, id).disable();
        let _more = connect(address, 1);
        for _ in 0..3 {
            bench.turn();
        }
        listener(bench, id).enable().unwrap();
        run_until_accepted(bench, 3);
    });
}

#[test]
fn a_listener_that_its_handler_disables_or_frees_accepts_no_more_at_once() {
    on_each_backend(|bench| {
        for frees in [false, true] {
            let (id, address) = listen(bench);
            bench.app.accepted.clear();
            // Turns that are filled one after the other make long batches.
            let _first = connect(address, 40);
            run_until_accepted(bench, 40);
            bench.app.accepted.clear();
            listener(bench, id).set_handler(if frees {
                |registry, app, id, accepted| {
                    app.accepted.push((id, accepted));
                    app.table.free_listener(registry, id);
                }
            } else {
                |registry, app, id, accepted| {
                    app.accepted.push((id, accepted));
                    app.table.listener(registry, id).unwrap().disable();
                }
            });
            let _clients = connect(address, 5);
            for _ in 0..5 {
                bench.turn();
            }
            assert_eq!(bench.app.accepted.len(), 1);
            let access = bench.app.table.listener(bench.base.registry(), id);
            assert_eq!(access.is_none(), frees);
            assert_eq!(TcpStream::connect(address).is_err(), frees);
            bench.app.table.free_listener(bench.base.registry(), id);
        }
    });
}

#[test]
fn a_burst_leaves_turns_to_other_events() {
    const BURST: usize = 150;
    if test_needs::missing(Need::Descriptors(1_000)) {
        return;
    }
    on_each_backend(|bench| {
        let (id, address) = listen(bench);
        listener(bench, id).set_handler(|registry, app, id, accepted| {
            app.turns.push(registry.stats().waits);
            app.accepted.push((id, accepted));
        });
        let _clients = connect(address, BURST);
        run_until_accepted(bench, BURST);
        let turns = std::mem::take(&mut bench.app.turns);
        let each: Vec<_> = turns.chunk_by(|one, next| one == next).map(<[_]>::len).collect();
        assert!(each.iter().all(|accepted| *accepted <= 16), "{each:?}");
        assert!(each.len() < BURST / 4, "batches grow: {each:?}");
    });
}

#[test]
fn a_freed_listener_refuses_and_a_taken_socket_goes_on_listening() {
    on_each_backend(|bench| {
        let (id, address) = listen(bench);
        assert_eq!(listener(bench, id).token(), Token(0));
        listener(bench, id).set_token(Token(7));
        assert_eq!(listener(bench, id).token(), Token(7));
        let socket = listener(bench, id).take_socket();
        assert!(bench.app.table.listener(bench.base.registry(), id).is_none());
        let _client = TcpStream::connect(address).unwrap();
        let table = &mut bench.app.table;
        let options = ListenOptions::default();
        let again = table.listen_on(bench.base.registry(), socket, options, on_accept).unwrap();
        assert_ne!(again, id);
        run_until_accepted(bench, 1);
        assert!(listener(bench, again).fd() > 2);
        bench.app.table.free_listener(bench.base.registry(), again);
        bench.app.table.free_listener(bench.base.registry(), again);
        assert!(TcpStream::connect(address).is_err());
        assert_eq!(bench.base.registry().counts().added, 0, "nothing is pending");
    });
}

/// In C, `SO_REUSEADDR` is often set after `bind`, where it does nothing.
#[test]
fn a_listener_can_be_bound_again_while_old_connections_are_in_time_wait() {
    on_each_backend(|bench| {
        let (id, address) = listen(bench);
        let mut client = TcpStream::connect(address).unwrap();
        run_until_accepted(bench, 1);
        bench.app.accepted.clear();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the server closed first");
        drop(client);
        bench.app.table.free_listener(bench.base.registry(), id);
        let plain =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let refused = plain.bind(&address.into()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrInUse, "the old connection has the address");
        // io_uring has the listening socket until the next turn, and a process that another test
        // starts has a copy of it for a moment.
        let deadline = Instant::now() + TIME_WAIT / 2;
        let options = ListenOptions::default();
        loop {
            bench.pass();
            let (table, registry) = (&mut bench.app.table, bench.base.registry());
            match table.listen(registry, address, options, on_accept) {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
        let _client = TcpStream::connect(address).unwrap();
        run_until_accepted(bench, 1);
        bench.app.accepted.clear();
    });
}

#[test]
fn a_socket_that_is_bound_or_listens_can_be_given() {
    on_each_backend(|bench| {
        let bound =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        bound.bind(&any_port().into()).unwrap();
        let listens = TcpListener::bind(any_port()).unwrap();
        for socket in [OwnedFd::from(bound), OwnedFd::from(listens)] {
            let number = socket.as_raw_fd();
            let options = ListenOptions { deferred_accept: true, ..Default::default() };
            let table = &mut bench.app.table;
            let id = table.listen_on(bench.base.registry(), socket, options, on_accept).unwrap();
            assert_eq!(listener(bench, id).fd(), number);
            let address = listener(bench, id).local_address().unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"the kernel waits for this").unwrap();
            run_until_accepted(bench, 1);
            bench.app.accepted.clear();
        }
    });
}

#[test]
fn a_unix_socket_is_accepted_from_and_its_peers_have_no_address() {
    on_each_backend(|bench| {
        let folder = test_needs::folder();
        let path = folder.path().join("socket");
        let socket = UnixListener::bind(&path).unwrap();
        let options = ListenOptions::default();
        let table = &mut bench.app.table;
        let id = table.listen_on(bench.base.registry(), socket, options, on_accept).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        run_until_accepted(bench, 1);
        assert_eq!(bench.app.accepted[0].1.peer, None);
        assert_eq!(listener(bench, id).local_address(), None);
    });
}

#[test]
fn several_listeners_share_a_port_if_they_ask_for_it() {
    let mut bench = bench();
    let options = ListenOptions { reuse_port: true, ..Default::default() };
    let (_, address) = listen_with(&mut bench, options);
    let table = &mut bench.app.table;
    table.listen(bench.base.registry(), address, options, on_accept).unwrap();
    let _clients = connect(address, 40);
    run_until_accepted(&mut bench, 40);
    let first = bench.app.accepted[0].0;
    assert!(bench.app.accepted.iter().any(|(id, _)| *id != first), "both accept");
    let alone = ListenOptions::default();
    let error = bench.app.table.listen(bench.base.registry(), address, alone, on_accept);
    let message = error.unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot listen on {address}: ")), "{message}");
    assert!(message.ends_with("choose another port (0 takes a free one)"), "{message}");
}

#[test]
fn an_ipv6_listener_takes_ipv4_clients_unless_it_is_for_ipv6_only() {
    if test_needs::missing(Need::Ipv6) {
        return;
    }
    let mut bench = bench();
    for ipv6_only in [false, true] {
        let options = ListenOptions { ipv6_only: Some(ipv6_only), ..Default::default() };
        let any = "[::]:0".parse().unwrap();
        let table = &mut bench.app.table;
        let id = table.listen(bench.base.registry(), any, options, on_accept).unwrap();
        let port = listener(&mut bench, id).local_address().unwrap().port();
        let _client = TcpStream::connect(("::1", port)).unwrap();
        run_until_accepted(&mut bench, 1);
        assert!(bench.app.accepted[0].1.peer.unwrap().is_ipv6());
        assert_eq!(TcpStream::connect(("127.0.0.1", port)).is_err(), ipv6_only);
        bench.app.table.free_listener(bench.base.registry(), id);
        bench.app.accepted.clear();
    }
}

#[test]
fn what_cannot_listen_is_refused_with_its_name() {
    let mut bench = bench();
    let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let options = ListenOptions::default();
    let table = &mut bench.app.table;
    let error = table.listen_on(bench.base.registry(), datagrams, options, on_accept).unwrap_err();
    assert!(matches!(error, BuffereventError::Listen { .. }));
    assert!(error.to_string().starts_with("cannot listen on a unix socket without"), "{error}");
    assert_eq!(bench.base.registry().counts().added, 0);
}
