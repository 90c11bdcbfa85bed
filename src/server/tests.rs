//! Whole servers in every accept mode: stopped, overloaded and limited.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::server::*;

const WORKERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn start(mode: AcceptMode, set: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig { accept: mode, workers: WORKERS, ..Default::default() };
    config.pin = false;
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    set(&mut config);
    Server::start(&config, Echo).unwrap()
}

fn address_of(server: &Server) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    address
}

/// Sends a byte and waits for its echo.
fn echo(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

/// Runs this many clients at once, each with this many connections one after the other. All are
/// served.
fn crowd(address: SocketAddr, clients: usize, connections: usize) {
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(move || {
                for _ in 0..connections {
                    echo(&TcpStream::connect(address).unwrap()).unwrap();
                }
            });
        }
    });
}

/// Connects in crowds until it is refused. Every connection must be served. Returns how many were.
fn storm(address: SocketAddr, stopping: &AtomicBool, connected: &AtomicUsize) -> usize {
    const CROWD: usize = 30;
    let (mut served, mut refused) = (0, None);
    while refused.is_none() {
        let mut crowd = Vec::new();
        while crowd.len() < CROWD && refused.is_none() {
            match TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
                Ok(stream) => crowd.push(stream),
                Err(error) => refused = Some(error),
            }
        }
        connected.fetch_add(crowd.len(), Ordering::Relaxed);
        for stream in crowd {
            echo(&stream).expect("every connection is served");
            served += 1;
            // An orderly close would leave a port in TIME_WAIT for each.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let error = refused.expect("that ended the loop");
    assert!(stopping.load(Ordering::Relaxed), "the server was not stopped yet: {error}");
    assert!([ErrorKind::ConnectionRefused, ErrorKind::TimedOut].contains(&error.kind()), "{error}");
    served
}

#[test]
fn a_storm_of_clients_sees_no_reset_while_the_server_stops() {
    for mode in AcceptMode::ALL {
        for _ in 0..2 {
            let server = start(mode, |_| {});
            let (address, stopping) = (address_of(&server), AtomicBool::new(false));
            let connected = AtomicUsize::new(0);
            thread::scope(|scope| {
                let client = || storm(address, &stopping, &connected);
                let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
                while connected.load(Ordering::Relaxed) < 1000 {
                    thread::yield_now();
                }
                stopping.store(true, Ordering::Relaxed);
                server.threads.stop_accepting(BacklogOwner::ThisProcess);
                let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
                assert_eq!(served, connected.load(Ordering::Relaxed));
            });
            let report = server.drain().unwrap();
            assert_eq!(report.total().connections, connected.load(Ordering::Relaxed) as u64);
        }
    }
}

/// A client in the backlog at the stop is already connected, as it sees it.
#[test]
fn connections_in_the_backlog_are_served_in_every_mode() {
    for mode in AcceptMode::ALL {
        let server = start(mode, |_| {});
        let clients: Vec<_> =
            (0..200).map(|_| TcpStream::connect(address_of(&server)).unwrap()).collect();
        server.threads.stop_accepting(BacklogOwner::ThisProcess);
        for client in &clients {
            echo(client).unwrap_or_else(|error| panic!("{mode}: {error}"));
        }
        drop(clients);
        assert_eq!(server.drain().unwrap().total().connections, 200);
    }
}

#[test]
fn connections_are_even_over_the_shards_where_one_acceptor_places_them_all() {
    for mode in [AcceptMode::Acceptor, AcceptMode::AcceptorInShard0] {
        for placement in [Placement::RoundRobin, Placement::LeastConnections] {
            let server = start(mode, |config| config.placement = placement);
            let clients = (0..100).map(|_| TcpStream::connect(address_of(&server)).unwrap());
            let clients: Vec<_> = clients.collect();
            clients.iter().for_each(|client| echo(client).unwrap());
            drop(clients);
            let report = server.drain().unwrap();
            let connections: Vec<_> = report.shards.iter().map(|shard| shard.connections).collect();
            assert_eq!(connections, [50, 50], "{mode} {placement:?}");
        }
    }
}

/// The second acceptor's socket has a port of its own, to which no client connects: the worst case
/// of the kernel's hash.
#[test]
fn hybrid_workers_hand_over_what_the_kernel_gave_them_too_much_of_and_reuseport_ones_keep_it() {
    for mode in [AcceptMode::Hybrid, AcceptMode::ReusePort] {
        let (workers, placement) = (WORKERS, Placement::LeastConnections);
        let listen = vec!["127.0.0.1:0".parse().unwrap(); 2];
        let config = ServerConfig {
            listen,
            accept: mode,
            workers,
            placement,
            pin: false,
            ..Default::default()
        };
        let mut opened = listener::open(&config).unwrap();
        let other = opened.pop().unwrap();
        let mut lopsided = opened.pop().unwrap();
        lopsided.sockets.truncate(1);
        lopsided.sockets.extend(other.sockets.into_iter().skip(1));
        let server = Server::start_on(&config, vec![lopsided], Echo).unwrap();
        let clients = (0..100).map(|_| TcpStream::connect(address_of(&server)).unwrap());
        let clients: Vec<_> = clients.collect();
        clients.iter().for_each(|client| echo(client).unwrap());
        drop(clients);
        let report = server.drain().unwrap();
        let connections: Vec<_> = report.shards.iter().map(|shard| shard.connections).collect();
        match mode {
            // An eighth more than the mean of 50, and one more.
            AcceptMode::Hybrid => assert!((50..=57).contains(&connections[0]), "{connections:?}"),
            _ => assert_eq!(connections, [100, 0]),
        }
    }
}

#[test]
fn a_shared_limit_is_exact_and_slots_are_reused_in_every_mode() {
    for mode in AcceptMode::ALL {
        let server = start(mode, |config| config.connections_max = NonZeroUsize::new(4));
        // Twelve at once, of which four are served at a time, until all were.
        crowd(address_of(&server), 12, 20);
        assert_eq!(server.drain().unwrap().total().connections, 240, "{mode}");
    }
}

#[test]
fn a_queue_of_one_per_worker_serves_every_client() {
    for mode in AcceptMode::ALL {
        let server = start(mode, |config| config.handoff_capacity = NonZeroUsize::MIN);
        crowd(address_of(&server), 8, 50);
        assert_eq!(server.drain().unwrap().total().connections, 400, "{mode}");
    }
}

#[test]
fn a_thread_that_ended_went_unnoticed_until_the_drain() {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let server = Server::start(&ServerConfig { listen, ..ServerConfig::default() }, Echo).unwrap();
    let (sender, reported) = std::sync::mpsc::channel();
    server.on_failure(move |failure| sender.send(failure).unwrap());
    assert_eq!(server.stats().failed, None);
    let failure = ThreadFailure { thread: "admin".to_owned(), reason: "no memory".to_owned() };
    server.failures.report(failure.clone());
    assert_eq!(reported.recv().unwrap(), failure);
    assert_eq!(server.stats().failed.as_deref(), Some("thread admin ended: no memory"));
    let Err(Error::Ended(ended)) = server.drain() else { panic!("the admin has no other result") };
    assert_eq!(ended, failure);
}

/// A configuration of the server's that allows this many connections.
fn with_max(connections: usize) -> ServerConfig {
    ServerConfig { connections_max: NonZeroUsize::new(connections), ..Default::default() }
}

#[test]
fn clients_that_wait_at_the_limit_are_served_when_it_is_raised() {
    for mode in AcceptMode::ALL {
        let mut server = start(mode, |config| config.connections_max = NonZeroUsize::new(1));
        let clients: Vec<_> =
            (0..4).map(|_| TcpStream::connect(address_of(&server)).unwrap()).collect();
        while server.stats().total().connections < 1 {
            thread::yield_now();
        }
        assert_eq!(server.reconfigure(&with_max(4)).unwrap(), 0, "{mode}");
        for client in &clients {
            echo(client).unwrap_or_else(|error| panic!("{mode}: {error}"));
        }
        drop(clients);
        assert_eq!(server.drain().unwrap().total().connections, 4, "{mode}");
    }
}

#[test]
fn a_limit_below_the_open_connections_keeps_them_and_accepts_no_more() {
    for mode in AcceptMode::ALL {
        let mut server = start(mode, |_| {});
        let clients: Vec<_> =
            (0..3).map(|_| TcpStream::connect(address_of(&server)).unwrap()).collect();
        clients.iter().for_each(|client| echo(client).unwrap());
        let config = ServerConfig { overload: Overload::Shed, ..with_max(2) };
        assert_eq!(server.reconfigure(&config).unwrap(), 0, "{mode}");
        let error = echo(&TcpStream::connect(address_of(&server)).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{mode}");
        clients.iter().for_each(|client| echo(client).unwrap());
        drop(clients);
        assert_eq!(server.drain().unwrap().total().connections, 3, "{mode}");
    }
}

#[test]
fn clients_that_wait_are_reset_when_the_overload_becomes_shed() {
    for mode in AcceptMode::ALL {
        let mut server = start(mode, |config| config.connections_max = NonZeroUsize::new(1));
        let served = TcpStream::connect(address_of(&server)).unwrap();
        echo(&served).unwrap();
        let waiting = TcpStream::connect(address_of(&server)).unwrap();
        while server.stats().acceptors.iter().all(|acceptor| acceptor.paused.is_none()) {
            thread::yield_now();
        }
        let config = ServerConfig { overload: Overload::Shed, ..with_max(1) };
        server.reconfigure(&config).unwrap();
        let error = echo(&waiting).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{mode}");
        drop(served);
        server.drain().unwrap();
    }
}

#[test]
fn changed_limits_count_for_connections_that_begin_afterwards() {
    let mut server = start(AcceptMode::AcceptorInShard0, |_| {});
    let before = TcpStream::connect(address_of(&server)).unwrap();
    echo(&before).unwrap();
    let limits = Limits { idle: Some(Duration::from_millis(50)), ..Limits::default() };
    let drain = Drain { timeout: Duration::from_secs(77), ..Drain::default() };
    server.reconfigure(&ServerConfig { limits, drain, ..Default::default() }).unwrap();
    let mut after = TcpStream::connect(address_of(&server)).unwrap();
    echo(&after).unwrap();
    assert_eq!(after.read(&mut [0]).unwrap(), 0, "it is idle for too long");
    echo(&before).unwrap();
    assert_eq!(server.drain, drain);
    drop(before);
    server.drain().unwrap();
}

#[test]
fn a_change_out_of_range_changes_nothing() {
    let mut server = start(AcceptMode::Acceptor, |_| {});
    let drain = server.drain;
    let mut config = with_max(1);
    config.drain.timeout = Duration::from_secs(77);
    config.limits.buffer_bytes = 0;
    let error = server.reconfigure(&config).unwrap_err().to_string();
    assert!(error.contains("limits.buffer_bytes is 0; choose from"), "{error}");
    assert_eq!(server.drain, drain);
    let clients: Vec<_> =
        (0..2).map(|_| TcpStream::connect(address_of(&server)).unwrap()).collect();
    clients.iter().for_each(|client| echo(client).unwrap());
    drop(clients);
    server.drain().unwrap();
}

/// What the agent says to a client that sends this and ends its stream.
fn ask_agent(address: &ListenAddress, sent: &[u8]) -> String {
    let ListenAddress::Tcp(address) = address else { unreachable!() };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then an orderly end");
    answer
}

#[test]
fn an_agent_answers_every_connection_with_one_line() {
    let mut server = start(AcceptMode::Acceptor, |_| {});
    let agent = server.agent(&"127.0.0.1:0".parse().unwrap()).unwrap();
    // More than it keeps open at a time.
    for sent in [&b""[..], b"db7\n", &[b'x'; 100_000]].into_iter().cycle().take(99) {
        let answer = ask_agent(&agent, sent);
        let weight = answer.strip_prefix("ready up ").and_then(|rest| rest.strip_suffix("%\n"));
        let weight: u8 = weight.and_then(|weight| weight.parse().ok()).expect(&answer);
        assert!((1..=100).contains(&weight), "{answer:?}");
    }
    assert_eq!(server.begin_drain(), None);
    assert_eq!(ask_agent(&agent, b""), "drain\n");
    server.drain().unwrap();
}

#[test]
fn a_busy_thread_is_not_waited_for_for_ever_and_applies_a_change_later() {
    let mut server = start(AcceptMode::AcceptorInShard0, |_| {});
    let (resume, paused) = std::sync::mpsc::channel::<()>();
    server.threads.workers[1].post(move |_, _| {
        let _ = paused.recv();
    });
    let mut config = ServerConfig::default();
    config.limits.idle = Some(Duration::from_millis(50));
    assert_eq!(server.reconfigure(&config).unwrap(), 1);
    drop(resume);
    // Each shard gets one of them.
    let clients: Vec<_> =
        (0..2).map(|_| TcpStream::connect(address_of(&server)).unwrap()).collect();
    clients.iter().for_each(|client| echo(client).unwrap());
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is idle for too long");
    }
    let report = server.drain().unwrap();
    assert_eq!(report.shards.iter().map(|shard| shard.connections).collect::<Vec<_>>(), [1, 1]);
}
