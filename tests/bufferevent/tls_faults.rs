//! What peers do wrong in TLS: each fault costs its own connection only.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use evshard::tls::{TlsClient, TlsError, TlsServer};
use evshard::{BuffereventId, BuffereventOptions, Interest, Watermarks, What};

use crate::app::{Bench, Seen, bench, logging, on_each_backend};
use crate::tls::{Authority, accept, any_connected, connect, connected, expect_input, pattern};

const BOTH: What = What::READING.union(What::WRITING);

/// The TLS error of a bufferevent, as text.
fn error(bench: &mut Bench, id: BuffereventId) -> String {
    let error = bench.get(id).take_error().expect("it failed");
    let inner = error.get_ref().expect("it has an inner error");
    assert!(inner.is::<TlsError>(), "{error:?}");
    error.to_string()
}

/// Waits for the failure of a handshake, and returns its error.
fn failure(bench: &mut Bench, id: BuffereventId) -> String {
    bench.run_until_seen(Seen::Event(id, What::ERROR | BOTH));
    assert!(bench.get(id).enabled().is_empty());
    assert!(!bench.app.seen.contains(&Seen::Event(id, What::CONNECTED)));
    error(bench, id)
}

/// A client of a server, with a relay between them whose ends the test has.
struct Between {
    server: BuffereventId,
    client: BuffereventId,
    to_server: UnixStream,
    to_client: UnixStream,
}

impl Between {
    /// The handshake is done.
    fn connected(bench: &mut Bench) -> Self {
        let authority = Authority::new();
        let (near, to_server) = UnixStream::pair().unwrap();
        let (far, to_client) = UnixStream::pair().unwrap();
        for end in [&to_server, &to_client] {
            end.set_nonblocking(true).unwrap();
        }
        let server = accept(bench, near, &authority.server());
        let client = connect(bench, far, &authority.client(), "localhost");
        let mut between = Self { server, client, to_server, to_client };
        bench.run_until("handshake", |bench| {
            between.relay();
            [server, client]
                .iter()
                .all(|id| bench.app.seen.contains(&Seen::Event(*id, What::CONNECTED)))
        });
        // The tickets of the server.
        for _ in 0..3 {
            between.relay();
            bench.turn();
        }
        between
    }

    fn relay(&mut self) {
        let bytes = take(&mut self.to_client);
        self.to_server.write_all(&bytes).unwrap();
        let bytes = take(&mut self.to_server);
        self.to_client.write_all(&bytes).unwrap();
    }

    /// What the client sends when it writes these bytes.
    fn records(&mut self, bench: &mut Bench, bytes: &[u8]) -> Vec<u8> {
        bench.get(self.client).write(bytes);
        bench.turn();
        take(&mut self.to_client)
    }
}

/// What a socket has now.
fn take(socket: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let n = socket.read(&mut bytes).unwrap_or(0);
    bytes.truncate(n);
    bytes
}

#[test]
fn a_stream_that_ends_without_close_notify_is_an_error_and_no_end() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        let records = between.records(bench, b"half of it");
        between.to_server.write_all(&records).unwrap();
        between.to_server.shutdown(Shutdown::Write).unwrap();
        bench.run_until_seen(Seen::Event(between.server, What::ERROR | What::READING));
        let failed = bench.get(between.server).take_error().unwrap();
        assert_eq!(failed.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(failed.to_string().contains("truncated"), "{failed}");
        expect_input(bench, between.server, b"half of it");
        let end = Seen::Event(between.server, What::EOF | What::READING);
        assert!(!bench.app.seen.contains(&end));
    });
}

#[test]
fn a_dirty_shutdown_is_an_end_where_it_is_allowed_and_output_still_goes_out() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        assert!(!bench.get(between.server).allow_dirty_shutdown());
        bench.get(between.server).set_allow_dirty_shutdown(true).unwrap();
        between.to_server.shutdown(Shutdown::Write).unwrap();
        bench.run_until_seen(Seen::Event(between.server, What::EOF | What::READING));
        bench.get(between.server).write(b"answer");
        bench.run_until_seen(Seen::Write(between.server));
        let records = take(&mut between.to_server);
        between.to_client.write_all(&records).unwrap();
        expect_input(bench, between.client, b"answer");
    });
}

#[test]
fn garbage_in_place_of_a_handshake_is_an_error_and_gets_an_alert() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[22, 3, 1, 0xff, 0xff, 1]] {
            let (near, mut far) = UnixStream::pair().unwrap();
            let server = accept(bench, near, &authority.server());
            far.write_all(garbage).unwrap();
            let error = failure(bench, server);
            assert!(error.starts_with("TLS handshake: "), "{error}");
            bench.app.table.free(bench.base.registry(), server);
            let mut alert = Vec::new();
            let _ = far.read_to_end(&mut alert);
            assert_eq!(alert[..1], [21], "it is an alert");
        }
    });
}

#[test]
fn a_changed_byte_ends_the_connection_after_the_bytes_before_it() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        let mut records = between.records(bench, b"intact");
        let mut changed = between.records(bench, b"changed");
        *changed.last_mut().unwrap() ^= 1;
        records.extend(changed);
        between.to_server.write_all(&records).unwrap();
        bench.run_until_seen(Seen::Event(between.server, What::ERROR | What::READING));
        let reason = error(bench, between.server);
        assert!(reason.starts_with("TLS connection: "), "{reason}");
        expect_input(bench, between.server, b"intact");
        // Nothing can be sent any more, but what waits to be sent does not wait forever.
        bench.get(between.server).write(b"too late");
        bench.run_until_seen(Seen::Event(between.server, What::ERROR | What::WRITING));
        let reason = error(bench, between.server);
        assert!(reason.starts_with("TLS connection: "), "{reason}");
        between.relay();
        bench.run_until_seen(Seen::Event(between.client, What::ERROR | What::READING));
    });
}

#[test]
fn garbage_and_oversized_records_after_the_handshake_end_the_connection() {
    on_each_backend(|bench| {
        let oversized: Vec<u8> = [23, 3, 3, 0x48, 0x01].into_iter().chain([0; 18_433]).collect();
        let empty: Vec<u8> = [23, 3, 3, 0, 0].repeat(1000);
        for bytes in [&b"no record at all"[..], &oversized, &empty] {
            let mut between = Between::connected(bench);
            between.to_server.write_all(bytes).unwrap();
            bench.run_until_seen(Seen::Event(between.server, What::ERROR | What::READING));
            error(bench, between.server);
            bench.app.table.free(bench.base.registry(), between.server);
            bench.app.table.free(bench.base.registry(), between.client);
        }
    });
}

#[test]
fn records_that_are_sent_again_or_out_of_order_are_refused() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        let first = between.records(bench, b"first");
        between.to_server.write_all(&first).unwrap();
        between.to_server.write_all(&first).unwrap();
        bench.run_until_seen(Seen::Event(between.server, What::ERROR | What::READING));
        expect_input(bench, between.server, b"first");
    });
}

/// The end follows the bytes in one read of the socket, where nothing arrives any more.
#[test]
fn the_end_of_the_stream_comes_after_decrypted_bytes_that_waited() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        let server = between.server;
        let marks = Watermarks { low: 0, high: 100 };
        bench.get(server).set_watermarks(Interest::READ, marks);
        bench.get(between.client).write(&[5; 300]);
        bench.get(between.client).end_write().unwrap();
        bench.turn();
        between.relay();
        let end = Seen::Event(server, What::EOF | What::READING);
        for left in [300, 200, 100] {
            bench.run_until("some", |bench| bench.get(server).input().len() == 100);
            bench.turn();
            assert!(!bench.app.seen.contains(&end), "{left} bytes are still to be taken");
            bench.get(server).input().drain(100);
        }
        bench.run_until_seen(end);
    });
}

#[test]
fn what_a_peer_sends_after_its_end_is_ignored() {
    on_each_backend(|bench| {
        let mut between = Between::connected(bench);
        let mut records = between.records(bench, b"before");
        bench.get(between.client).end_write().unwrap();
        bench.turn();
        records.extend(take(&mut between.to_client));
        records.extend(b"after");
        between.to_server.write_all(&records).unwrap();
        bench.run_until_seen(Seen::Event(between.server, What::EOF | What::READING));
        expect_input(bench, between.server, b"before");
    });
}

#[test]
fn a_handshake_that_does_not_go_on_ends_at_its_deadline() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let short = Some(Duration::from_millis(30));
        let identity = authority.identity(&["localhost"]);
        let server = TlsServer::builder(identity).handshake_timeout(short).build().unwrap();
        let client = TlsClient::builder(authority.roots()).handshake_timeout(short);
        let client = client.build().unwrap();
        let (near, _silent) = UnixStream::pair().unwrap();
        let (far, _silent_too) = UnixStream::pair().unwrap();
        let waiting = [accept(bench, near, &server), connect(bench, far, &client, "localhost")];
        for id in waiting {
            let error = failure(bench, id);
            assert!(error.contains("not finished within 30ms"), "{error}");
        }
        // A handshake in time is not affected.
        let ends = connected(bench, &authority.server(), &authority.client());
        bench.get(ends[0]).write(b"in time");
        expect_input(bench, ends[1], b"in time");
    });
}

#[test]
fn directions_that_are_enabled_after_a_failed_handshake_fail_again_and_move_nothing() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let identity = authority.identity(&["localhost"]);
        let server = TlsServer::builder(identity).handshake_timeout(Some(Duration::from_millis(5)));
        let (near, mut far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let server = accept(bench, near, &server.build().unwrap());
        failure(bench, server);
        // A client that comes late.
        let (plain, mut relay) = UnixStream::pair().unwrap();
        relay.set_nonblocking(true).unwrap();
        let client = connect(bench, plain, &authority.client(), "localhost");
        bench.get(server).write(b"too late");
        bench.get(server).enable(Interest::READ | Interest::WRITE);
        far.write_all(&take(&mut relay)).unwrap();
        bench.run_until_seen(Seen::Event(server, What::ERROR | BOTH));
        bench.run_until("no direction", |bench| bench.get(server).enabled().is_empty());
        assert_eq!(
            error(bench, server),
            "TLS connection: its handshake was not done; connect again"
        );
        assert_eq!(take(&mut far), b"");
        assert_eq!(bench.get(server).output().len(), 8);
        bench.app.table.free(bench.base.registry(), client);
    });
}

#[test]
fn a_handshake_in_time_leaves_no_deadline_behind() {
    let mut bench = bench();
    let before = bench.base.registry().len();
    for id in any_connected(&mut bench) {
        bench.app.table.free(bench.base.registry(), id);
    }
    // The event that serves the table stays.
    assert!(bench.base.registry().len() <= before + 1);
    let authority = Authority::new();
    let (near, _far) = UnixStream::pair().unwrap();
    let server = accept(&mut bench, near, &authority.server());
    bench.app.table.free(bench.base.registry(), server);
    assert!(bench.base.registry().len() <= before + 1);
}

#[test]
fn a_peer_that_goes_away_at_any_byte_of_the_handshake_is_an_error() {
    let authority = Authority::new();
    // The client's first message, which a server gets a part of.
    let mut bench = bench();
    let (far, mut taken) = UnixStream::pair().unwrap();
    let client = connect(&mut bench, far, &authority.client(), "localhost");
    bench.turn();
    let hello = take(&mut taken);
    bench.app.table.free(bench.base.registry(), client);
    on_each_backend(|bench| {
        for length in (0..hello.len()).step_by(1 + hello.len() / 15) {
            let (near, mut far) = UnixStream::pair().unwrap();
            let server = accept(bench, near, &authority.server());
            far.write_all(&hello[..length]).unwrap();
            drop(far);
            let error = failure(bench, server);
            assert!(error.contains("the peer closed the connection"), "{error}");
            bench.app.table.free(bench.base.registry(), server);
        }
    });
}

#[test]
fn output_that_waits_for_a_handshake_that_fails_does_not_keep_a_closing_bufferevent() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, far) = UnixStream::pair().unwrap();
        let server = accept(bench, near, &authority.server());
        bench.get(server).write(b"never sent");
        bench.app.table.get(bench.base.registry(), server).unwrap().free_when_sent();
        for _ in 0..3 {
            bench.turn();
        }
        assert!(bench.app.table.contains(server));
        drop(far);
        bench.run_until("its end", |bench| bench.app.table.is_empty());
    });
}

/// The write of the handshake fails, because the peer is gone. Why, it has said before.
#[test]
fn the_alert_of_a_peer_that_refused_and_went_away_is_reported_and_not_the_broken_pipe() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, mut far) = UnixStream::pair().unwrap();
        let handshake_failure = [21, 3, 3, 0, 2, 2, 40];
        far.write_all(&handshake_failure).unwrap();
        drop(far);
        let client = connect(bench, near, &authority.client(), "localhost");
        let error = failure(bench, client);
        assert!(error.contains("HandshakeFailure"), "{error}");
    });
}

#[test]
fn a_fault_of_one_connection_leaves_the_others_alone() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        let authority = Authority::new();
        let mut faulty = Vec::new();
        for garbage in [&b"garbage, garbage"[..], &[22, 3, 1, 0, 5, 1, 2, 3, 4, 5], b""] {
            let (near, mut far) = UnixStream::pair().unwrap();
            faulty.push(accept(bench, near, &authority.server()));
            far.write_all(garbage).unwrap();
        }
        bench.get(client).write(&pattern(500_000));
        for id in faulty {
            failure(bench, id);
        }
        expect_input(bench, server, &pattern(500_000));
    });
}

#[test]
fn a_reset_of_the_peer_is_an_error_in_the_handshake_and_after_it() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (socket, peer) = crate::app::tcp_pair();
        let table = &mut bench.app.table;
        let server = authority.server();
        let none = BuffereventOptions::empty();
        let id = table.accept_tls(bench.base.registry(), socket, &server, none).unwrap();
        bench.get(id).set_handlers(logging());
        bench.get(id).enable(Interest::READ);
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        bench.run_until_seen(Seen::Event(id, What::ERROR | BOTH));
        let error = bench.get(id).take_error().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}
