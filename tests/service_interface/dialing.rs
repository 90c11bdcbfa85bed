//! Dialing peers of every kind. Each dial has one outcome, with its session, and leaves nothing.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::clients::{ask, config, connect, in_every_mode, receive, with_timeouts};
use super::common::{MS, TEST_TIMEOUT, eventually, read_to_end};
use super::probe::{Does, Event, Probed};
use evshard::server::{
    CloseReason, ConnectError, ConnectionId, Dial, DialError, DialId, Drain, ProxyMode,
    ProxyProtocol, ServerConfig,
};

/// A listener whose backlog is full, with what fills it: a connect to it gets no answer.
pub(crate) struct Silent {
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _filling: Vec<Socket>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&address, 200 * MS);
            filling.push(socket);
            if connected.is_err() {
                break;
            }
        }
        let address = address.as_socket().unwrap();
        Self { address, _listener: listener, _filling: filling }
    }
}

fn refused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The outcome of the next dial that ends: its session, and its error if it failed.
pub(crate) fn outcome(probed: &Probed) -> (u64, Option<DialError>) {
    probed.next(|event| match event {
        Event::Connected(_, session) => Some((session, None)),
        Event::DialFailed(error, session) => Some((session, Some(error))),
        _ => None,
    })
}

pub(crate) fn dial(probed: &Probed, dial: Dial, session: u64) {
    probed.on_shard(0, move |shard| {
        shard.dial(dial, session);
    });
}

#[track_caller]
fn expect_counts(probed: &Probed, dials: u64, failed: u64) {
    let total = probed.server.stats().total();
    assert_eq!((total.dials, total.dials_failed), (dials, failed));
    probed.expect_nothing_left();
    let rest: Vec<Event> = probed.events.try_iter().collect();
    let is_outcome = |event: &Event| matches!(event, Event::Connected(..) | Event::DialFailed(..));
    assert!(!rest.iter().any(is_outcome), "an outcome too many: {rest:?}");
}

#[test]
fn a_dialed_connection_is_as_any_other() {
    for config in in_every_mode(2) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let does = Does {
            connected: Box::new(|connection| {
                assert_eq!(connection.listener(), None);
                assert!(connection.tls().is_none());
                connection.send(b"hello");
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        dial(&probed, Dial::address(listener.local_addr().unwrap()), 77);
        let mut peer = with_timeouts(listener.accept().unwrap().0);
        assert_eq!(receive(&mut peer, 5), b"hello");
        assert_eq!(ask(&mut peer, b"an echo"), b"an echo");
        let handle = probed.next(|event| match event {
            Event::Connected(handle, 77) => Some(handle),
            _ => None,
        });
        handle.send(b"by its handle").unwrap();
        assert_eq!(receive(&mut peer, 13), b"by its handle");
        assert_eq!(probed.server.stats().total().open, 1);
        drop(peer);
        assert_eq!(probed.closed(), (handle.id(), CloseReason::Closed, 77));
        expect_counts(&probed, 1, 0);
    }
}

#[test]
fn a_peer_that_refuses_fails_the_dial_and_nothing_else() {
    let probed = Probed::start(&config(1), Does::default());
    let unix = tempfile::tempdir().unwrap();
    for (session, target) in (1..).zip([
        Dial::address(refused()),
        Dial::host("localhost", refused().port()),
        Dial::unix(unix.path().join("none")),
        Dial::unix("x".repeat(500)),
        Dial::host("no-such-host.invalid", 1),
        Dial::host("bad name\0", 1),
        Dial::host("", 1),
    ]) {
        let text = target.to_string();
        dial(&probed, target.deadline(TEST_TIMEOUT / 2), session);
        let (ended, error) = outcome(&probed);
        assert_eq!(ended, session);
        let error = error.expect("it failed").to_string();
        assert!(!error.is_empty() && text.len() > 1, "{text}: {error}");
    }
    expect_counts(&probed, 7, 7);
}

#[test]
fn a_silent_peer_fails_the_dial_at_its_deadline() {
    let silent = Silent::new();
    let probed = Probed::start(&config(1), Does::default());
    let mut other = connect(&probed.server);
    let _ = probed.opened();
    let start = Instant::now();
    for session in 1..=20 {
        dial(&probed, Dial::address(silent.address).deadline(300 * MS), session);
    }
    assert_eq!(probed.server.stats().total().open, 21, "each has a slot");
    assert_eq!(ask(&mut other, b"meanwhile"), b"meanwhile");
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let (session, error) = outcome(&probed);
        let error = error.expect("it failed");
        assert!(matches!(error, DialError::Connect(ConnectError::TimedOut { .. })), "{error}");
        sessions.push(session);
    }
    assert!(start.elapsed() >= 300 * MS);
    sessions.sort_unstable();
    assert!(sessions.into_iter().eq(1..=20));
    drop(other);
    expect_counts(&probed, 20, 20);
}

#[test]
fn a_dial_without_time_fails_and_one_with_all_time_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let probed = Probed::start(&config(1), Does::default());
    dial(&probed, Dial::address(Silent::new().address).deadline(Duration::ZERO), 1);
    let (session, error) = outcome(&probed);
    assert!(session == 1 && error.is_some());
    for target in [Dial::address(address), Dial::host("localhost", address.port())] {
        dial(&probed, target.deadline(Duration::MAX), 2);
        let peer = listener.accept().unwrap();
        let (session, error) = outcome(&probed);
        assert_eq!((session, error.map(|e| e.to_string())), (2, None));
        drop(peer);
        probed.closed();
    }
    expect_counts(&probed, 3, 1);
}

#[test]
fn the_addresses_of_a_host_are_tried_until_one_connects() {
    // Of the addresses of localhost only one has a listener.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probed = Probed::start(&config(1), Does::default());
    for session in 1..=5 {
        dial(&probed, Dial::host("localhost", port), session);
        let mut peer = with_timeouts(listener.accept().unwrap().0);
        assert_eq!(outcome(&probed).0, session);
        assert_eq!(ask(&mut peer, b"x"), b"x");
        drop(peer);
        probed.closed();
    }
    expect_counts(&probed, 5, 0);
}

#[test]
fn a_peer_that_resets_at_once_closes_the_connection_and_its_session_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let resetting = thread::spawn(move || {
        for _ in 0..50 {
            let (peer, _) = listener.accept().unwrap();
            SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    let probed = Probed::start(&config(1), Does::default());
    let mut sessions = Vec::new();
    for session in 1..=50 {
        dial(&probed, Dial::address(address), session);
        sessions.push(probed.next(|event| match event {
            Event::Closed(_, reason, session) => {
                assert_eq!(reason, CloseReason::Broken);
                Some(session)
            }
            Event::DialFailed(_, session) => Some(session),
            _ => None,
        }));
    }
    assert!(sessions.into_iter().eq(1..=50));
    resetting.join().unwrap();
    probed.expect_nothing_left();
    assert_eq!(probed.server.stats().total().dials, 50);
}

#[test]
fn a_unix_socket_is_dialed_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let probed = Probed::start(&config(1), Does::default());
    dial(&probed, Dial::unix(&path), 5);
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(outcome(&probed).0, 5);
    peer.write_all(b"an echo").unwrap();
    let mut echo = [0; 7];
    peer.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"an echo");
    drop(peer);
    assert_eq!(probed.closed().2, 5);
    expect_counts(&probed, 1, 0);
}

#[test]
fn a_dial_over_the_connection_limit_fails_and_one_below_it_succeeds_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections_max = NonZeroUsize::new(3);
    let probed = Probed::start(&ServerConfig { connections_max, ..config(2) }, Does::default());
    let clients: Vec<TcpStream> = (0..2).map(|_| connect(&probed.server)).collect();
    let _ = (probed.opened(), probed.opened());
    dial(&probed, Dial::address(address), 1);
    let peer = listener.accept().unwrap();
    assert!(outcome(&probed).1.is_none());
    for session in 2..10 {
        dial(&probed, Dial::address(address), session);
        let (ended, error) = outcome(&probed);
        assert_eq!(ended, session);
        assert!(matches!(error, Some(DialError::TooManyConnections)), "{error:?}");
    }
    drop(peer);
    assert_eq!(probed.closed().2, 1);
    dial(&probed, Dial::address(address), 10);
    let peer = listener.accept().unwrap();
    assert!(matches!(outcome(&probed), (10, None)));
    drop((peer, clients));
    expect_counts(&probed, 10, 8);
}

#[test]
fn a_cancelled_dial_returns_its_session_at_each_stage_and_has_no_outcome() {
    let silent = Silent::new();
    let probed = Probed::start(&config(1), Does::default());
    let address = silent.address;
    // Before it starts.
    let session = probed.on_shard(0, move |shard| {
        let id = shard.dial(Dial::address(address), 1);
        let session = shard.cancel_dial(id);
        assert_eq!(shard.cancel_dial(id), None, "it has ended");
        // Another has its slot, and the stale id does not reach it.
        let next = shard.dial(Dial::address(address), 2);
        assert_eq!(shard.cancel_dial(id), None);
        assert_eq!(shard.cancel_dial(next), Some(2));
        session
    });
    assert_eq!(session, Some(1));
    // While it connects, and while its name is looked up.
    for target in [Dial::address(address), Dial::host("localhost", address.port())] {
        let id = probed.on_shard(0, move |shard| shard.dial(target, 3));
        thread::sleep(20 * MS);
        assert_eq!(probed.on_shard(0, move |shard| shard.cancel_dial(id)), Some(3));
    }
    // After it is connected.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = Dial::address(listener.local_addr().unwrap());
    let id = probed.on_shard(0, move |shard| shard.dial(connecting, 4));
    let mut peer = with_timeouts(listener.accept().unwrap().0);
    assert_eq!(outcome(&probed).0, 4);
    assert_eq!(probed.on_shard(0, move |shard| shard.cancel_dial(id)), None);
    assert_eq!(ask(&mut peer, b"open"), b"open");
    drop(peer);
    expect_counts(&probed, 5, 0);
}

#[test]
fn the_id_of_a_dial_names_none_on_another_shard() {
    let silent = Silent::new();
    let address = silent.address;
    let probed = Probed::start(&config(2), Does::default());
    let start = |shard| {
        probed.on_shard(shard, move |shard| {
            (0..3).map(|at| shard.dial(Dial::address(address), at)).collect::<Vec<_>>()
        })
    };
    let ids = [start(0), start(1)];
    let cancel = |shard, ids: &[DialId]| {
        let ids = ids.to_vec();
        probed.on_shard(shard, move |shard| {
            ids.into_iter().filter_map(|id| shard.cancel_dial(id)).collect::<Vec<u64>>()
        })
    };
    assert_eq!([cancel(0, &ids[1]), cancel(1, &ids[0])], <[Vec<u64>; 2]>::default());
    assert_eq!([cancel(0, &ids[0]), cancel(1, &ids[1])], [vec![0, 1, 2], vec![0, 1, 2]]);
}

#[test]
fn a_dial_in_a_drain_is_cut_at_its_timeout_and_reported() {
    for config in in_every_mode(2) {
        let silent = Silent::new();
        let drain = Drain { timeout: 300 * MS, ..Drain::default() };
        let probed = Probed::start(&ServerConfig { drain, ..config }, Does::default());
        for session in 1..=5 {
            dial(&probed, Dial::address(silent.address).deadline(TEST_TIMEOUT), session);
        }
        let start = Instant::now();
        let report = probed.server.drain().unwrap();
        assert!(start.elapsed() >= 290 * MS && start.elapsed() < TEST_TIMEOUT / 2);
        assert_eq!((report.total().dials_failed, report.total().open), (5, 0));
        let failed = |event| match event {
            Event::DialFailed(DialError::Draining, session) => Some(session),
            _ => None,
        };
        let mut sessions: Vec<u64> = probed.events.iter().filter_map(failed).collect();
        sessions.sort_unstable();
        assert_eq!(sessions, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_dial_in_a_drain_succeeds_before_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let does = Does {
        close: Box::new(move |session, _, shard| {
            if session == 0 {
                shard.dial(Dial::address(address), 1);
            }
        }),
        connected: Box::new(|connection| connection.send(b"the last words")),
        ..Does::default()
    };
    let probed = Probed::start(&config(2), does);
    let mut client = connect(&probed.server);
    assert_eq!(ask(&mut client, b"x"), b"x");
    let drained = thread::spawn(move || probed.server.drain().unwrap());
    assert_eq!(read_to_end(client).unwrap(), b"");
    let (peer, _) = listener.accept().unwrap();
    assert_eq!(read_to_end(peer).unwrap(), b"the last words");
    let total = drained.join().unwrap().total();
    assert_eq!((total.dials, total.dials_failed, total.open), (1, 0, 0));
}

#[test]
fn a_connection_that_begins_in_a_drain_is_notified_of_it_once() {
    for config in in_every_mode(2) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let trusted = vec!["127.0.0.0/8".parse().unwrap()];
        let proxy = ProxyProtocol { mode: ProxyMode::Require, trusted };
        let does = Does {
            close: Box::new(move |session, _, shard| {
                if session == 0 {
                    shard.dial(Dial::address(address), 1);
                }
            }),
            drain: Box::new(|connection| connection.send(b"drains")),
            ..Does::default()
        };
        let probed = Probed::start(&ServerConfig { proxy, ..config }, does);
        let mut client = connect(&probed.server);
        client.write_all(b"PROXY ").unwrap();
        eventually("a part of its header is read", || probed.server.stats().total().reads > 0);
        let Probed { server, events, .. } = probed;
        let drained = thread::spawn(move || server.drain().unwrap());
        let mut begun = 0;
        while begun < 2 {
            let event = events.recv_timeout(TEST_TIMEOUT).unwrap();
            begun += u32::from(matches!(event, Event::BeginDrain(_)));
        }
        client.write_all(b"UNKNOWN\r\n").unwrap();
        assert_eq!(receive(&mut client, 6), b"drains");
        drop(client);
        let mut peer = with_timeouts(listener.accept().unwrap().0);
        assert_eq!(receive(&mut peer, 6), b"drains");
        assert_eq!(read_to_end(peer).unwrap(), b"");
        drained.join().unwrap();
        let mut calls: HashMap<ConnectionId, [u32; 2]> = HashMap::new();
        for event in events {
            match event {
                Event::Opened(handle) | Event::Connected(handle, _) => {
                    calls.entry(handle.id()).or_default()[0] += 1;
                }
                Event::Drained(id) => calls.entry(id).or_default()[1] += 1,
                _ => {}
            }
        }
        assert!(calls.len() == 2 && calls.values().all(|calls| *calls == [1, 1]), "{calls:?}");
    }
}

/// Each dial at the end is refused, and reported. One that a service begins again for each refusal
/// ends with it.
#[test]
fn what_the_last_callbacks_dial_is_reported_as_refused() {
    for redials in [false, true] {
        let does = Does {
            stop: Box::new(|shard| {
                shard.dial(Dial::unix("/nowhere"), 9);
            }),
            dial_failed: Box::new(move |session, shard| {
                if redials {
                    shard.dial(Dial::unix("/nowhere"), session + 1);
                }
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config(2), does);
        let total = probed.server.drain().unwrap().total();
        let events: Vec<Event> = probed.events.iter().collect();
        let stops = events.iter().filter(|event| matches!(event, Event::Stopped(_))).count();
        let failed: Vec<u64> = events
            .iter()
            .filter_map(|event| match event {
                Event::DialFailed(DialError::Draining, session) => Some(*session),
                _ => None,
            })
            .collect();
        assert_eq!((stops, failed), (2, vec![9, 9]));
        assert_eq!((total.dials_failed, total.open), (2, 0));
    }
}

/// A service that dials again whenever a connection or a dial ends, as a pool does.
#[test]
fn a_service_that_always_dials_again_does_not_keep_a_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = listener.local_addr().unwrap();
    // It talks all the time, so no connection is ever quiet.
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            thread::spawn(move || {
                while peer.write_all(b"news").is_ok() {
                    thread::sleep(5 * MS);
                }
            });
        }
    });
    for target in [alive, refused()] {
        for workers in [1, 2] {
            let dials = Arc::new(AtomicU64::new(0));
            let dialed = dials.clone();
            let again = move |shard: &mut evshard::server::Shard<'_, _>| {
                dialed.fetch_add(1, Ordering::Relaxed);
                shard.dial(Dial::address(target), 1);
            };
            let (start, fail) = (again.clone(), again.clone());
            let does = Does {
                start: Box::new(start),
                dial_failed: Box::new(move |_, shard| fail(shard)),
                close: Box::new(move |_, _, shard| again(shard)),
                receive: Box::new(|input, _| input.len()),
                ..Does::default()
            };
            let drain = Drain { timeout: 300 * MS, ..Drain::default() };
            let probed = Probed::start(&ServerConfig { drain, ..config(workers) }, does);
            eventually("it dials", || dials.load(Ordering::Relaxed) >= workers as u64);
            thread::sleep(50 * MS);
            let (done, drained) = channel();
            thread::spawn(move || done.send(probed.server.drain().map(|s| s.total().open)));
            let open = drained.recv_timeout(TEST_TIMEOUT / 2).expect("the drain hangs").unwrap();
            assert_eq!(open, 0);
        }
    }
}

#[test]
fn a_panic_when_a_dial_ends_costs_that_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let does = Does {
        connected: Box::new(|_| panic!("it was asked to")),
        dial_failed: Box::new(|_, _| panic!("it was asked to")),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut other = connect(&probed.server);
    dial(&probed, Dial::address(refused()), 1);
    assert!(matches!(outcome(&probed), (1, Some(_))));
    dial(&probed, Dial::address(address), 2);
    let (_, reason, session) = probed.closed();
    assert_eq!((reason, session), (CloseReason::Panicked, 2));
    assert_eq!(probed.server.stats().total().errors.panicked, 2);
    assert_eq!(ask(&mut other, b"still here"), b"still here");
    drop(other);
    probed.expect_nothing_left();
}

/// Many dials to peers of all kinds at once, from all shards: each has exactly one outcome.
#[test]
fn in_a_storm_of_dials_each_session_comes_back_exactly_once() {
    const DIALS: u64 = 300;
    for config in in_every_mode(2) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = thread::spawn(move || {
            for peer in listener.incoming() {
                let mut peer = peer.unwrap();
                let mut byte = [0];
                // The last one ends this.
                if matches!(peer.read(&mut byte), Ok(1)) && byte[0] == b'!' {
                    return;
                }
            }
        });
        let silent = Silent::new();
        let (silent_address, refused) = (silent.address, refused());
        let does = Does {
            connected: Box::new(|connection| {
                connection.send(b"x");
                connection.close();
            }),
            ..Does::default()
        };
        let connections_max = NonZeroUsize::new(200);
        let probed = Probed::start(&ServerConfig { connections_max, ..config }, does);
        let (cancelled, cancels) = channel();
        for session in 1..=DIALS {
            let cancelled = cancelled.clone();
            probed.on_shard((session % 2) as usize, move |shard| {
                let dial = match session % 5 {
                    0 => Dial::address(silent_address).deadline(100 * MS),
                    1 => Dial::address(refused),
                    2 => Dial::host("localhost", address.port()),
                    _ => Dial::address(address),
                };
                let id = shard.dial(dial, session);
                if session % 7 == 0 {
                    cancelled.send(shard.cancel_dial(id).unwrap()).unwrap();
                }
            });
        }
        drop(cancelled);
        let mut ended: Vec<u64> = cancels.iter().collect();
        while ended.len() < DIALS as usize {
            ended.push(probed.next(|event| match event {
                Event::Closed(_, _, session) | Event::DialFailed(_, session) => Some(session),
                _ => None,
            }));
        }
        ended.sort_unstable();
        assert!(ended.into_iter().eq(1..=DIALS));
        TcpStream::connect(address).unwrap().write_all(b"!").unwrap();
        accepting.join().unwrap();
        probed.expect_nothing_left();
        assert_eq!(probed.server.stats().total().dials, DIALS);
    }
}
