//! Dialing with TLS, and half-close, files and slow readers over it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{MUCH, address, config, roomy};
use super::common::{MS, TEST_TIMEOUT, noise};
use super::dialing::{dial, outcome};
use super::probe::{Does, Event, Probed};
use evshard::server::{CloseReason, Dial, DialError, Drain, ServerConfig};
use evshard::tls::{Identity, TlsClient, TlsServer, TrustRoots};
use test_certificates::Authority;

struct Trust {
    client: TlsClient,
    server: TlsServer,
}

impl Trust {
    fn new() -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.issue(&["localhost"]).pem();
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let roots = TrustRoots::from_pem(authority.certificate.pem().as_bytes()).unwrap();
        Self {
            client: TlsClient::builder(roots).build().unwrap(),
            server: TlsServer::builder(identity).build().unwrap(),
        }
    }

    /// A server with TLS, which does this.
    fn serve(&self, base: ServerConfig, does: Does) -> Probed {
        let listen = vec!["tls:127.0.0.1:0".parse().unwrap()];
        Probed::start(&ServerConfig { listen, tls: Some(self.server.clone()), ..base }, does)
    }
}

/// Its peers are the dialed connections of another server, so both sides are ours.
fn dialing(does: Does) -> Probed {
    Probed::start(&roomy(), does)
}

#[test]
fn a_dial_with_tls_gives_a_connection_whose_peer_has_the_name() {
    let trust = Trust::new();
    let echo = trust.serve(config(2), Does::default());
    let (answers, answered) = std::sync::mpsc::channel();
    let does = Does {
        connected: Box::new(|connection| {
            assert!(connection.tls().is_some());
            connection.send(b"a question");
        }),
        receive: Box::new(move |input, connection| {
            answers.send(input.to_vec()).unwrap();
            connection.close();
            input.len()
        }),
        ..Does::default()
    };
    let probed = dialing(does);
    for session in 1..=5 {
        let target = Dial::address(address(&echo.server)).tls(&trust.client, "localhost");
        dial(&probed, target, session);
        assert!(matches!(outcome(&probed), (ended, None) if ended == session));
        assert_eq!(answered.recv_timeout(TEST_TIMEOUT).unwrap(), b"a question");
        let (_, reason, closed) = probed.closed();
        assert_eq!((reason, closed), (CloseReason::Closed, session));
        assert_eq!(echo.closed().1, CloseReason::Closed);
    }
    probed.expect_nothing_left();
    echo.expect_nothing_left();
}

#[test]
fn a_dial_to_a_peer_with_a_wrong_certificate_or_without_tls_fails() {
    let (trust, other) = (Trust::new(), Trust::new());
    let tls = trust.serve(config(1), Does::default());
    let greets =
        Does { open: Box::new(|connection| connection.send(b"220 hello\r\n")), ..Does::default() };
    let plain = Probed::start(&config(1), greets);
    let probed = dialing(Does::default());
    let (tls_at, plain_at) = (address(&tls.server), address(&plain.server));
    let dials = [
        Dial::address(tls_at).tls(&other.client, "localhost"),
        Dial::address(tls_at).tls(&trust.client, "another.example"),
        Dial::address(tls_at).tls(&trust.client, "no name \0"),
        Dial::address(plain_at).tls(&trust.client, "localhost"),
    ];
    for (session, target) in (1..).zip(dials) {
        dial(&probed, target, session);
        let (ended, error) = outcome(&probed);
        assert_eq!(ended, session);
        assert!(matches!(error, Some(DialError::Tls { .. })), "{session}: {error:?}");
    }
    probed.expect_nothing_left();
    assert_eq!(probed.server.stats().total().dials_failed, 4);
    assert!(!probed.events.try_iter().any(|event| matches!(event, Event::Closed(..))));
}

#[test]
fn a_peer_that_is_silent_in_its_handshake_fails_the_dial_at_the_deadline() {
    let trust = Trust::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _unix = UnixListener::bind(&path).unwrap();
    let probed = dialing(Does::default());
    let dials = [Dial::address(tcp.local_addr().unwrap()), Dial::unix(&path)];
    for (session, target) in (1..).zip(dials) {
        let start = Instant::now();
        dial(&probed, target.tls(&trust.client, "localhost").deadline(300 * MS), session);
        let (ended, error) = outcome(&probed);
        assert_eq!(ended, session);
        assert!(matches!(error, Some(DialError::Tls { .. })), "{error:?}");
        assert!(start.elapsed() >= 290 * MS);
    }
    probed.expect_nothing_left();
}

#[test]
fn a_handshake_of_a_dial_is_cancelled_and_cut_and_its_session_comes_back() {
    let trust = Trust::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Dial::address(silent.local_addr().unwrap())
        .tls(&trust.client, "localhost")
        .deadline(TEST_TIMEOUT);
    let drain = Drain { timeout: 200 * MS, ..Drain::default() };
    let probed = Probed::start(&ServerConfig { drain, ..config(1) }, Does::default());
    let cancelled = target.clone();
    let id = probed.on_shard(0, move |shard| shard.dial(cancelled, 1));
    let mut peer = silent.accept().unwrap().0;
    // Its hello is there, so its handshake has begun.
    peer.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(probed.on_shard(0, move |shard| shard.cancel_dial(id)), Some(1));
    probed.expect_nothing_left();
    dial(&probed, target, 2);
    let mut peer = silent.accept().unwrap().0;
    peer.read_exact(&mut [0; 5]).unwrap();
    let Probed { server, events, .. } = probed;
    assert_eq!(server.drain().unwrap().total().open, 0);
    let sessions: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::DialFailed(error, session) => {
                assert!(matches!(error, DialError::Closed(CloseReason::Cut)), "{error:?}");
                Some(session)
            }
            Event::Closed(..) | Event::Connected(..) => panic!("{event:?}"),
            _ => None,
        })
        .collect();
    assert_eq!(sessions, [2]);
}

/// The dialed side reads slowly, by pauses. The accepted side sends a file, bytes and shared bytes,
/// and then ends its output. The other direction goes on.
#[test]
fn files_and_bytes_reach_a_slow_reader_over_tls_and_one_direction_ends_before_the_other() {
    let trust = Trust::new();
    let bytes = noise(1, MUCH / 4);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let (file, shared): (_, Arc<[u8]>) = (Arc::new(file), noise(2, 300_000).into());
    let expected = [&bytes[1000..], &shared[..], b"the end"].concat();
    let length = bytes.len() as u64;
    let (heard, hearing) = std::sync::mpsc::channel();
    let does = Does {
        open: Box::new(move |connection| {
            connection.send_file(file.clone(), 1000..length).unwrap();
            connection.send_shared(&shared).unwrap();
            connection.send(b"the end");
            connection.end_output();
        }),
        receive: Box::new(move |input, connection| {
            connection.send(b"discarded");
            heard.send(input.to_vec()).unwrap();
            input.len()
        }),
        ..Does::default()
    };
    let serving = trust.serve(roomy(), does);
    let (parts, received) = std::sync::mpsc::channel();
    let does = Does {
        receive: Box::new(move |input, connection| {
            parts.send(input.to_vec()).unwrap();
            connection.pause_for(Duration::from_micros(500));
            input.len()
        }),
        end: Box::new(|connection| {
            connection.send(b"heard");
            connection.close();
        }),
        ..Does::default()
    };
    let probed = dialing(does);
    let target = Dial::address(address(&serving.server)).tls(&trust.client, "localhost");
    dial(&probed, target, 1);
    assert!(outcome(&probed).1.is_none());
    let mut all = Vec::new();
    while all.len() < expected.len() {
        all.extend(received.recv_timeout(TEST_TIMEOUT).expect("bytes are missing"));
    }
    assert!(all == expected);
    probed.next(|event| matches!(event, Event::End(_)).then_some(()));
    assert_eq!(hearing.recv_timeout(TEST_TIMEOUT).unwrap(), b"heard");
    assert_eq!(probed.closed().1, CloseReason::Closed);
    assert_eq!(serving.closed().1, CloseReason::Closed);
    probed.expect_nothing_left();
    serving.expect_nothing_left();
}

#[test]
fn handles_send_to_connections_with_tls_in_order() {
    let trust = Trust::new();
    let (parts, received) = std::sync::mpsc::channel();
    let does = Does {
        receive: Box::new(move |input, _| {
            parts.send(input.to_vec()).unwrap();
            input.len()
        }),
        ..Does::default()
    };
    let serving = trust.serve(config(1), does);
    let probed = dialing(Does::default());
    let target = Dial::address(address(&serving.server)).tls(&trust.client, "localhost");
    dial(&probed, target, 1);
    let handle = probed.next(|event| match event {
        Event::Connected(handle, _) => Some(handle),
        _ => None,
    });
    let bytes = noise(3, 3_000_000);
    let sent = bytes.clone();
    let sending = thread::spawn(move || {
        for (at, part) in sent.chunks(7001).enumerate() {
            let shared: Arc<[u8]> = part.into();
            let send = || if at % 2 == 0 { handle.send(part) } else { handle.send_shared(&shared) };
            while send().is_err() {
                thread::yield_now();
            }
        }
        handle.close().unwrap();
    });
    let mut all = Vec::new();
    while all.len() < bytes.len() {
        all.extend(received.recv_timeout(TEST_TIMEOUT).expect("bytes are missing"));
    }
    assert!(all == bytes);
    sending.join().unwrap();
    assert_eq!(probed.closed().1, CloseReason::Closed);
    assert_eq!(serving.closed().1, CloseReason::Closed);
}
