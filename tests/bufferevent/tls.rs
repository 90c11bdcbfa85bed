//! TLS between two bufferevents.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use evshard::tls::{Identity, TlsClient, TlsServer, TlsVersion, TrustRoots};
use evshard::{
    BuffereventHandlers, BuffereventId, BuffereventOptions, Interest, ListenOptions, RateLimit,
    Watermarks, What,
};

use crate::app::{Bench, Seen, bench, echo, logging, on_each_backend, waits_in};

const PLAIN: BuffereventOptions = BuffereventOptions::empty();

/// An authority, servers with its certificates, and clients that trust it.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: String,
    authority: test_certificates::Authority,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = test_certificates::Authority::new();
        Self { pem: authority.certificate.pem(), authority }
    }

    /// A certificate for these names, and its key, in PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.authority.issue(names).pem()
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.issue(names);
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    pub(crate) fn roots(&self) -> TrustRoots {
        TrustRoots::from_pem(self.pem.as_bytes()).unwrap()
    }

    /// A server named localhost.
    pub(crate) fn server(&self) -> TlsServer {
        TlsServer::builder(self.identity(&["localhost"])).build().unwrap()
    }

    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::builder(self.roots()).build().unwrap()
    }
}

/// A bufferevent that is a server on this socket, logs, and reads.
pub(crate) fn accept(bench: &mut Bench, socket: UnixStream, server: &TlsServer) -> BuffereventId {
    let table = &mut bench.app.table;
    let id = table.accept_tls(bench.base.registry(), socket, server, PLAIN).unwrap();
    bench.get(id).set_handlers(logging());
    bench.get(id).enable(Interest::READ);
    id
}

/// A bufferevent that is a client on this socket, logs, and reads.
pub(crate) fn connect(
    bench: &mut Bench,
    socket: UnixStream,
    client: &TlsClient,
    name: &str,
) -> BuffereventId {
    let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
    bench.get(id).set_handlers(logging());
    bench.get(id).enable(Interest::READ);
    bench.get(id).start_tls_client(client, name).unwrap();
    id
}

/// A server and a client named localhost whose handshake is done.
pub(crate) fn connected(
    bench: &mut Bench,
    server: &TlsServer,
    client: &TlsClient,
) -> [BuffereventId; 2] {
    connected_on(bench, UnixStream::pair().unwrap(), server, client)
}

/// The same, on these sockets.
pub(crate) fn connected_on(
    bench: &mut Bench,
    (near, far): (UnixStream, UnixStream),
    server: &TlsServer,
    client: &TlsClient,
) -> [BuffereventId; 2] {
    let ends = [accept(bench, near, server), connect(bench, far, client, "localhost")];
    for id in ends {
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
    }
    ends
}

/// The same, with settings of no interest.
pub(crate) fn any_connected(bench: &mut Bench) -> [BuffereventId; 2] {
    let authority = Authority::new();
    connected(bench, &authority.server(), &authority.client())
}

/// Bytes that do not repeat soon.
pub(crate) fn pattern(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Waits until this input has come, and removes it.
pub(crate) fn expect_input(bench: &mut Bench, id: BuffereventId, expected: &[u8]) {
    bench.run_until("input", |bench| bench.get(id).input().len() >= expected.len());
    let mut input = vec![0; expected.len()];
    bench.get(id).read(&mut input);
    assert!(input == expected, "the bytes differ");
    assert!(bench.get(id).input().is_empty(), "more came than was sent");
}

#[test]
fn after_the_handshake_bytes_pass_in_both_directions() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        bench.get(client).write(b"from the client");
        expect_input(bench, server, b"from the client");
        bench.get(server).write(b"from the server");
        expect_input(bench, client, b"from the server");
    });
}

#[test]
fn output_that_is_put_in_before_the_handshake_is_sent_encrypted_after_it() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let listen = bench.app.table.listen(
            bench.base.registry(),
            "127.0.0.1:0".parse().unwrap(),
            ListenOptions::default(),
            |_, app, id, accepted| app.accepted.push((id, accepted)),
        );
        let listener = listen.unwrap();
        let address = {
            let listener = bench.app.table.listener(bench.base.registry(), listener).unwrap();
            listener.local_address().unwrap()
        };
        let client = bench.app.table.unconnected(bench.base.registry(), PLAIN);
        bench.get(client).set_handlers(logging());
        bench.get(client).write(b"early");
        bench.get(client).start_tls_client(&authority.client(), "localhost").unwrap();
        bench.get(client).connect(address, None).unwrap();
        bench.run_until("a connection", |bench| !bench.app.accepted.is_empty());
        let (_, accepted) = bench.app.accepted.pop().unwrap();
        assert_eq!(bench.app.seen, [], "a connect without its handshake is not reported");
        let table = &mut bench.app.table;
        let server = table
            .accept_tls(bench.base.registry(), accepted.socket, &authority.server(), PLAIN)
            .unwrap();
        bench.get(server).enable(Interest::READ);
        expect_input(bench, server, b"early");
        let connected = Seen::Event(client, What::CONNECTED);
        assert_eq!(bench.app.seen.iter().filter(|seen| **seen == connected).count(), 1);
        bench.app.table.free_listener(bench.base.registry(), listener);
    });
}

#[test]
fn the_handshake_goes_on_while_both_directions_are_disabled() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, far) = UnixStream::pair().unwrap();
        let server = accept(bench, near, &authority.server());
        let client = connect(bench, far, &authority.client(), "localhost");
        for id in [server, client] {
            bench.get(id).disable(Interest::READ | Interest::WRITE);
        }
        bench.get(client).write(b"later");
        for id in [server, client] {
            bench.run_until_seen(Seen::Event(id, What::CONNECTED));
        }
        for _ in 0..5 {
            bench.turn();
        }
        assert_eq!(bench.get(server).input().len(), 0);
        bench.get(client).enable(Interest::WRITE);
        bench.get(server).enable(Interest::READ);
        expect_input(bench, server, b"later");
    });
}

/// One record holds far more than the reader takes, and nothing more arrives at the socket: what is
/// left must come without it.
#[test]
fn decrypted_bytes_beyond_the_high_watermark_come_once_there_is_room() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        bench.get(server).set_watermarks(Interest::READ, Watermarks { low: 0, high: 1000 });
        let sent = pattern(16_000);
        bench.get(client).write(&sent);
        let mut received = Vec::new();
        while received.len() < sent.len() {
            bench.run_until("more", |bench| !bench.get(server).input().is_empty());
            let mut some = [0; 700];
            assert!(bench.get(server).input().len() <= 1000, "it is above the watermark");
            let n = bench.get(server).read(&mut some);
            received.extend_from_slice(&some[..n]);
        }
        assert!(received == sent, "the bytes differ");
    });
}

#[test]
fn decrypted_bytes_that_wait_for_a_disabled_reader_come_when_it_is_enabled() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        bench.get(server).set_watermarks(Interest::READ, Watermarks { low: 0, high: 10 });
        bench.get(client).write(&[5; 300]);
        bench.run_until("some", |bench| bench.get(server).input().len() == 10);
        bench.get(server).disable(Interest::READ);
        bench.get(server).set_watermarks(Interest::READ, Watermarks::default());
        for _ in 0..3 {
            bench.turn();
        }
        assert_eq!(bench.get(server).input().len(), 10);
        bench.get(server).enable(Interest::READ);
        expect_input(bench, server, &[5; 300]);
    });
}

#[test]
fn after_one_side_ends_its_stream_the_other_goes_on() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        bench.get(client).write(b"all I have");
        bench.get(client).end_write().unwrap();
        bench.run_until_seen(Seen::Event(server, What::EOF | What::READING));
        expect_input(bench, server, b"all I have");
        let answer = pattern(300_000);
        bench.get(server).write(&answer);
        bench.get(server).end_write().unwrap();
        bench.run_until_seen(Seen::Event(client, What::EOF | What::READING));
        expect_input(bench, client, &answer);
    });
}

#[test]
fn a_bufferevent_that_is_freed_when_sent_sends_everything_and_its_end() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        let much = pattern(2_000_000);
        bench.get(server).write(&much);
        bench.app.table.get(bench.base.registry(), server).unwrap().free_when_sent();
        bench.run_until("its end", |bench| bench.get(client).enabled() == Interest::WRITE);
        assert!(!bench.app.table.contains(server));
        expect_input(bench, client, &much);
        assert_eq!(bench.app.seen.last(), Some(&Seen::Event(client, What::EOF | What::READING)));
    });
}

#[test]
fn a_bufferevent_that_is_freed_when_sent_within_its_handshake_still_sends() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, far) = UnixStream::pair().unwrap();
        let client = connect(bench, far, &authority.client(), "localhost");
        bench.get(client).write(b"and gone");
        bench.app.table.get(bench.base.registry(), client).unwrap().free_when_sent();
        let server = accept(bench, near, &authority.server());
        bench.run_until_seen(Seen::Event(server, What::EOF | What::READING));
        expect_input(bench, server, b"and gone");
        assert!(!bench.app.table.contains(client));
    });
}

#[test]
fn output_that_a_peer_does_not_read_is_not_reported_as_sent() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let sockets = UnixStream::pair().unwrap();
        // Less is encrypted at once than there is, and more than the socket takes.
        socket2::SockRef::from(&sockets.0).set_send_buffer_size(4096).unwrap();
        let [server, client] =
            connected_on(bench, sockets, &authority.server(), &authority.client());
        bench.get(client).disable(Interest::READ);
        bench.app.seen.clear();
        bench.get(server).write(&pattern(60_000));
        for _ in 0..5 {
            bench.turn();
        }
        assert!(!bench.app.seen.contains(&Seen::Write(server)), "the peer has not read it");
        bench.get(client).enable(Interest::READ);
        bench.run_until_seen(Seen::Write(server));
        expect_input(bench, client, &pattern(60_000));
    });
}

#[test]
fn much_output_waits_in_the_buffer_and_not_in_tls_while_the_peer_does_not_read() {
    on_each_backend(|bench| {
        let [server, client] = any_connected(bench);
        bench.get(client).disable(Interest::READ);
        let much = pattern(8_000_000);
        bench.get(server).write(&much);
        for _ in 0..20 {
            bench.turn();
        }
        let left = bench.get(server).output().len();
        assert!(left > 4_000_000, "only {left} bytes are left in the output");
        bench.get(client).enable(Interest::READ);
        expect_input(bench, client, &much);
    });
}

#[test]
fn nothing_spins_in_a_handshake_at_rest_behind_a_slow_peer_or_after_an_end() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, _silent) = UnixStream::pair().unwrap();
        accept(bench, near, &authority.server());
        any_connected(bench);
        let [slow, unread] = any_connected(bench);
        bench.get(unread).disable(Interest::READ);
        bench.get(slow).write(&[1; 3_000_000]);
        let [ended, ending] = any_connected(bench);
        bench.get(ending).end_write().unwrap();
        bench.run_until_seen(Seen::Event(ended, What::EOF | What::READING));
        let [full, filling] = any_connected(bench);
        bench.get(full).set_watermarks(Interest::READ, Watermarks { low: 0, high: 10 });
        bench.get(filling).write(&[1; 100]);
        bench.run_until("a full input", |bench| bench.get(full).input().len() == 10);
        let waits = waits_in(bench, Duration::from_millis(20));
        assert!(waits < 5, "{waits} waits in a moment");
    });
}

#[test]
fn a_rate_limit_holds_for_tls() {
    let mut bench = bench();
    let [server, client] = any_connected(&mut bench);
    let limit = RateLimit::new(1000, 1000, 1000, 1000).unwrap();
    let limit = limit.with_tick(Duration::from_millis(100)).unwrap();
    bench.get(server).set_rate_limit(Some(limit)).unwrap();
    bench.get(client).write(&pattern(2500));
    bench.run_until("the first tick", |bench| bench.get(server).input().len() >= 1000);
    for _ in 0..10 {
        bench.turn();
    }
    let received = bench.get(server).input().len();
    assert!(received < 2500, "one tick brought {received} bytes");
    expect_input(&mut bench, server, &pattern(2500));
}

#[test]
fn the_timeouts_run_only_after_the_handshake() {
    let mut bench = bench();
    let authority = Authority::new();
    let (near, far) = UnixStream::pair().unwrap();
    let server = accept(&mut bench, near, &authority.server());
    let short = Duration::from_millis(20);
    bench.get(server).set_timeouts(Some(short), Some(short));
    let start = Instant::now();
    bench.run_until("twice the timeout", |_| start.elapsed() > 2 * short);
    assert_eq!(bench.app.seen, []);
    connect(&mut bench, far, &authority.client(), "localhost");
    bench.run_until_seen(Seen::Event(server, What::CONNECTED));
    bench.run_until_seen(Seen::Event(server, What::TIMEOUT | What::READING));
}

#[test]
fn facts_say_what_the_handshake_agreed_on() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let server = TlsServer::builder(authority.identity(&["localhost"])).alpn(["b", "a"]);
        let client = TlsClient::builder(authority.roots()).alpn(["a", "c"]);
        let (near, far) = UnixStream::pair().unwrap();
        let server = accept(bench, near, &server.build().unwrap());
        let client = connect(bench, far, &client.build().unwrap(), "localhost");
        assert_eq!(bench.get(client).tls(), None, "the handshake is not done");
        for id in [server, client] {
            bench.run_until_seen(Seen::Event(id, What::CONNECTED));
            let facts = bench.get(id).tls().unwrap();
            assert_eq!(facts.version, TlsVersion::Tls13);
            assert!(facts.cipher_suite.starts_with("TLS_"), "{}", facts.cipher_suite);
            assert_eq!(facts.server_name.as_deref(), Some("localhost"));
            assert_eq!(facts.alpn.as_deref(), Some(&b"a"[..]));
            assert!(!facts.is_resumed);
        }
        assert_eq!(bench.get(client).tls().unwrap().peer_certificates.len(), 1);
        assert_eq!(bench.get(server).tls().unwrap().peer_certificates.len(), 0);
    });
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first_unless_that_is_off() {
    let mut bench = bench();
    let authority = Authority::new();
    let identity = authority.identity(&["localhost"]);
    let server = TlsServer::builder(identity.clone()).build().unwrap();
    let without = TlsServer::builder(identity).without_resumption().build().unwrap();
    for (server, resumes) in [(server, true), (without, false)] {
        let client = authority.client();
        for is_resumed in [false, resumes] {
            let [near, far] = connected(&mut bench, &server, &client);
            // The tickets come behind the handshake.
            bench.get(near).write(b"x");
            expect_input(&mut bench, far, b"x");
            for id in [near, far] {
                assert_eq!(bench.get(id).tls().unwrap().is_resumed, is_resumed);
            }
        }
    }
}

#[test]
fn an_echo_above_a_filter_knows_the_facts_of_the_socket_below() {
    struct Through;
    impl evshard::Filter for Through {}
    let mut bench = bench();
    let [server, client] = any_connected(&mut bench);
    let above = bench.app.table.filter(bench.base.registry(), server, Through, PLAIN).unwrap();
    bench.get(above).set_handlers(BuffereventHandlers { read: Some(echo), ..logging() });
    bench.get(above).enable(Interest::READ);
    assert!(bench.get(above).tls().is_some());
    bench.get(client).write(b"through");
    expect_input(&mut bench, client, b"through");
}

#[test]
fn the_socket_of_tls_can_be_taken_out_and_replaced() {
    let mut bench = bench();
    let [server, client] = any_connected(&mut bench);
    assert!(bench.get(server).take_socket().unwrap().is_some());
    assert_eq!(bench.get(server).tls(), None);
    let (near, mut far) = UnixStream::pair().unwrap();
    bench.get(client).replace_socket(near).unwrap();
    bench.get(client).write(b"plain again");
    bench.run_until_seen(Seen::Write(client));
    let mut plain = [0; 11];
    std::io::Read::read_exact(&mut far, &mut plain).unwrap();
    assert_eq!(&plain, b"plain again");
}
