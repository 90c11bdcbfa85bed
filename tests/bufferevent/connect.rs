//! Connecting bufferevents.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use evshard::{BuffereventError, BuffereventId, BuffereventOptions, ConnectError, Interest, What};
use test_needs::Need;

use crate::app::{Bench, Seen, logging, on_each_backend, tcp_pair};

const SHORT: Duration = Duration::from_millis(20);
/// An address of TEST-NET-1 (RFC 5737), behind which nothing answers.
const SILENT: &str = "192.0.2.1:9";

fn unconnected(bench: &mut Bench) -> BuffereventId {
    let id = bench.app.table.unconnected(bench.base.registry(), BuffereventOptions::empty());
    bench.get(id).set_handlers(logging());
    id
}

/// A port on which nothing listens.
fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_connect_is_reported_and_what_was_written_before_is_sent() {
    on_each_backend(|bench| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let id = unconnected(bench);
        bench.get(id).write(b"early");
        bench.get(id).enable(Interest::READ);
        bench.get(id).connect(listener.local_addr().unwrap(), None).unwrap();
        assert!(bench.get(id).is_connecting());
        assert_eq!(bench.app.seen, [], "nothing is called while the caller runs");
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
        bench.run_until_seen(Seen::Write(id));
        assert_eq!(bench.app.seen[0], Seen::Event(id, What::CONNECTED));
        let (mut peer, _) = listener.accept().unwrap();
        let mut early = [0; 5];
        peer.read_exact(&mut early).unwrap();
        peer.write_all(b"answer").unwrap();
        bench.run_until_seen(Seen::Read(id));
        assert!(!bench.get(id).is_connecting());
    });
}

#[test]
fn a_connect_without_output_calls_no_write_handler() {
    on_each_backend(|bench| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let id = unconnected(bench);
        bench.get(id).connect(listener.local_addr().unwrap(), None).unwrap();
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
        for _ in 0..3 {
            bench.turn();
        }
        assert_eq!(bench.app.seen.len(), 1, "{:?}", bench.app.seen);
    });
}

#[test]
fn a_refused_connect_is_an_error_that_names_the_address() {
    on_each_backend(|bench| {
        let address = unused_address();
        let id = unconnected(bench);
        bench.get(id).connect(address, None).unwrap();
        assert_eq!(bench.app.seen, []);
        bench.run_until_seen(Seen::Event(id, What::ERROR));
        let error = bench.get(id).take_error().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        // It can be tried again.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        bench.get(id).connect(listener.local_addr().unwrap(), None).unwrap();
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
    });
}

/// The kernel sends the first packets nowhere, and repeats them.
#[test]
fn a_connect_without_an_answer_ends_after_its_timeout() {
    on_each_backend(|bench| {
        let id = unconnected(bench);
        bench.get(id).connect(SILENT.parse().unwrap(), Some(SHORT)).unwrap();
        bench.run_until_seen(Seen::Event(id, What::ERROR));
        let error = bench.get(id).take_error().unwrap();
        // A machine without a route reports that at once.
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<ConnectError>());
        assert!(
            matches!(cause, Some(ConnectError::TimedOut { .. } | ConnectError::Failed { .. })),
            "{error}"
        );
        assert!(bench.base.registry().len() <= 1, "only the table's own event is left");
    });
}

#[test]
fn a_host_name_is_looked_up_and_all_its_addresses_are_tried() {
    on_each_backend(|bench| {
        // Where localhost has an address of each family, the first one may be refused.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let id = unconnected(bench);
        bench.get(id).connect_host("localhost", port, None).unwrap();
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
    });
}

#[test]
fn a_host_name_that_does_not_exist_is_an_error_that_names_it() {
    let mut bench = crate::app::bench();
    let id = unconnected(&mut bench);
    bench.get(id).connect_host("no such host", 80, None).unwrap();
    bench.run_until_seen(Seen::Event(id, What::ERROR));
    let error = bench.get(id).take_error().unwrap();
    assert!(error.to_string().contains("no such host:80"), "{error}");
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<ConnectError>());
    assert!(matches!(cause, Some(ConnectError::Lookup { .. })), "{error}");
}

#[test]
fn a_bufferevent_freed_while_it_connects_is_not_called() {
    on_each_backend(|bench| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for by_name in [false, true] {
            let id = unconnected(bench);
            let address = listener.local_addr().unwrap();
            if by_name {
                bench.get(id).connect_host("localhost", address.port(), None).unwrap();
            } else {
                bench.get(id).connect(address, None).unwrap();
            }
            bench.app.table.free(bench.base.registry(), id);
        }
        // The next one is in the same slot, and must not get the result.
        let id = unconnected(bench);
        bench.get(id).connect_host("localhost", unused_address().port(), None).unwrap();
        bench.run_until_seen(Seen::Event(id, What::ERROR));
        assert_eq!(bench.app.seen.len(), 1, "{:?}", bench.app.seen);
    });
}

#[test]
fn one_that_is_connected_or_connects_is_not_connected_again() {
    on_each_backend(|bench| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let id = unconnected(bench);
        bench.get(id).connect(listener.local_addr().unwrap(), None).unwrap();
        let again = bench.get(id).connect(unused_address(), None).unwrap_err();
        assert!(matches!(again, BuffereventError::Connected(_)), "{again}");
        let (socket, _peer) = tcp_pair();
        let options = BuffereventOptions::empty();
        let id = bench.app.table.socket(bench.base.registry(), socket, options).unwrap();
        let again = bench.get(id).connect(unused_address(), None).unwrap_err();
        assert!(matches!(again, BuffereventError::Connected(_)), "{again}");
        let (end, _) = bench.app.table.pair(bench.base.registry(), options);
        let refused = bench.get(end).connect(unused_address(), None).unwrap_err();
        assert!(matches!(refused, BuffereventError::NoSocket(_)), "{refused}");
    });
}

#[test]
fn a_unix_socket_can_be_connected_to() {
    on_each_backend(|bench| {
        let folder = test_needs::folder();
        let path = folder.path().join("socket");
        let id = unconnected(bench);
        let error = bench.get(id).connect_unix(&path).unwrap_err();
        assert!(error.to_string().contains("socket"), "{error}");
        let listener = UnixListener::bind(&path).unwrap();
        bench.get(id).connect_unix(&path).unwrap();
        bench.get(id).write(b"unix");
        bench.run_until_seen(Seen::Write(id));
        assert_eq!(bench.app.seen[0], Seen::Event(id, What::CONNECTED));
        let mut bytes = [0; 4];
        listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
    });
}

#[test]
fn an_ipv6_address_can_be_connected_to() {
    if test_needs::missing(Need::Ipv6) {
        return;
    }
    on_each_backend(|bench| {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let id = unconnected(bench);
        bench.get(id).connect(listener.local_addr().unwrap(), None).unwrap();
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
    });
}
