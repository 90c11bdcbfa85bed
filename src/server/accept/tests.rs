//! Acceptors against real sockets, turn by turn: what they accept, hold, shed and leave, and what
//! it costs.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use socket2::Socket;
use test_needs::Need;

use super::state::{Paused, State};
use super::*;
use crate::base::{EventBase, LoopFlags};
use crate::event::{EventSpec, Ready};
use crate::server::config::{AcceptMode, Overload, ServerConfig};
use crate::server::listener::{self, ListenAddress, Listener, Origin};
use crate::server::placement::Placement;
use crate::server::placement::load::ShardLoad;

/// An acceptor of shards whose connections only the test adopts.
struct TestAcceptor {
    base: EventBase<AcceptorThread>,
    thread: AcceptorThread,
    shards: Shards,
    address: SocketAddr,
    _workers: Vec<EventBase<()>>,
}

impl TestAcceptor {
    /// One shard with a queue of one.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(set: impl FnOnce(&mut ServerConfig)) -> Self {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let (workers, handoff_capacity) = (NonZeroUsize::MIN, NonZeroUsize::MIN);
        let mut config = ServerConfig { listen, workers, handoff_capacity, ..Default::default() };
        set(&mut config);
        Self::on(listener::open(&config).unwrap(), &config)
    }

    fn on(listeners: Vec<Listener>, config: &ServerConfig) -> Self {
        let address = listeners[0].sockets[0].local_addr().unwrap().as_socket();
        let workers = (0..config.workers.get()).map(|_| EventBase::new(config.base).unwrap());
        let mut workers: Vec<EventBase<()>> = workers.collect();
        let mut base = EventBase::new(config.base).unwrap();
        let to_workers = workers.iter_mut().map(|base| base.registry().notifier()).collect();
        let to_acceptors = vec![base.registry().notifier()];
        let cores = vec![None; config.workers.get()];
        let shards = Shards::new(config, to_workers, to_acceptors, cores);
        let listen_sockets = distribute(listeners, 1).remove(0);
        let acceptor = shards.acceptor(0, listen_sockets, config, base.registry()).unwrap();
        let address = address.unwrap_or_else(|| ([0; 4], 0).into());
        Self { base, thread: AcceptorThread { acceptor }, shards, address, _workers: workers }
    }

    fn connect(&self, clients: usize) -> Vec<TcpStream> {
        (0..clients).map(|_| TcpStream::connect(self.address).unwrap()).collect()
    }

    fn acceptor(&self) -> &Acceptor {
        &self.thread.acceptor
    }

    /// Runs everything that is ready, without waiting.
    fn run(&mut self) {
        self.base.run_with(&mut self.thread, LoopFlags::NONBLOCK).unwrap();
    }

    /// Runs until the condition holds.
    #[track_caller]
    fn run_until(&mut self, condition: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition(self) {
            assert!(Instant::now() < deadline, "never came true");
            self.run();
        }
    }

    fn is_full(&mut self) -> bool {
        matches!(self.acceptor().state, State::Paused(Paused::QueueFull(_)))
    }

    fn is_done(&mut self) -> bool {
        matches!(self.acceptor().state, State::Done)
    }

    fn is_listening(&mut self) -> bool {
        let sockets = self.thread.acceptor.sockets.iter();
        sockets
            .map(|watched| self.base.registry().pending(watched.event))
            .all(|ready| ready == Ready::READ)
    }

    /// Adopts a connection as the worker of shard 0 would.
    fn take(&self) -> Option<TcpStream> {
        let mut taken = None;
        self.shards.handoffs[0]
            .take(1, |connection| taken = Some(TcpStream::from(connection.socket)));
        taken
    }

    /// Closes a connection as its worker would.
    fn close(&self, connection: TcpStream) {
        drop(connection);
        self.shards.handoffs[0].closed();
    }

    /// Starts the shutdown; the receiver ends when the acceptor is done.
    fn stop(&mut self) -> Receiver<Infallible> {
        let (done, all_done) = mpsc::channel();
        Acceptor::refuse(self.base.registry(), &mut self.thread, done.clone());
        Acceptor::stop(self.base.registry(), &mut self.thread, BacklogOwner::ThisProcess, done);
        all_done
    }
}

fn capacity(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn what_no_worker_has_room_for_waits_and_nothing_is_lost() {
    let mut test = TestAcceptor::new();
    let clients = test.connect(5);
    test.run_until(TestAcceptor::is_full);
    assert!(!test.is_listening(), "the kernel's backlog holds the rest");
    assert_eq!(test.acceptor().stats().pauses_full, 1);
    let mut served = Vec::new();
    for _ in &clients {
        test.run_until(|test| !test.shards.handoffs[0].is_empty());
        served.push(test.take().unwrap().peer_addr().unwrap());
    }
    test.run();
    assert!(test.take().is_none());
    assert!(test.is_listening(), "there is room again");
    let mut connected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
    connected.sort();
    served.sort();
    assert_eq!(served, connected);
}

#[test]
fn an_acceptor_that_found_all_full_goes_on_when_half_of_a_queue_is_empty() {
    let mut test = TestAcceptor::with(|config| config.handoff_capacity = capacity(4));
    let _clients = test.connect(8);
    test.run_until(TestAcceptor::is_full);
    let _first = test.take();
    test.run();
    assert!(test.is_full(), "three of four slots are taken");
    let _second = test.take();
    test.run_until(|test| {
        test.shards.handoffs[0].is_empty() || test.acceptor().stats().accepted == 7
    });
}

#[test]
fn one_client_costs_one_call_of_accept() {
    let mut test = TestAcceptor::with(|config| config.handoff_capacity = capacity(64));
    for connected in 1..=5 {
        let _client = test.connect(1);
        test.run_until(|test| test.acceptor().stats().accepted == connected);
        test.run();
        assert_eq!(test.acceptor().stats().accept_calls, connected);
    }
    assert_eq!(test.acceptor().stats().batch_max, 1);
}

#[test]
fn a_storm_is_accepted_in_few_batches_with_one_wake_each_and_one_more_at_half() {
    if test_needs::missing(Need::Descriptors(1_000)) {
        return;
    }
    let mut test = TestAcceptor::with(|config| {
        config.accept = AcceptMode::Acceptor;
        config.handoff_capacity = capacity(400);
    });
    let _clients = test.connect(300);
    test.run_until(|test| test.acceptor().stats().accepted == 300);
    test.run();
    let stats = test.acceptor().stats();
    assert_eq!(stats.batch_max, 64);
    // 1, 1, 2, 4, 8, 16, 32, 64, 64, 64, and the last 44.
    assert_eq!(stats.batches, 11);
    assert_eq!(stats.accept_calls, 301);
    assert_eq!(stats.wakes_sent[0] + stats.wakes_suppressed[0], 12);
}

#[test]
fn an_acceptor_that_shares_a_shard_accepts_at_most_four_a_turn() {
    let mut test = TestAcceptor::with(|config| {
        config.accept = AcceptMode::AcceptorInShard0;
        config.handoff_capacity = capacity(400);
    });
    let _clients = test.connect(100);
    test.run_until(|test| test.acceptor().stats().accepted == 100);
    assert_eq!(test.acceptor().stats().batch_max, 4);
}

#[test]
fn the_limit_holds_and_the_first_close_lets_the_next_one_in() {
    let mut test = TestAcceptor::with(|config| {
        config.handoff_capacity = capacity(64);
        config.connections_max = NonZeroUsize::new(3);
    });
    let _clients = test.connect(5);
    test.run_until(|test| matches!(test.acceptor().state, State::Paused(Paused::AtLimit)));
    assert!(!test.is_listening());
    assert_eq!((test.acceptor().stats().accepted, test.shards.connection_limit.open()), (3, 3));
    let connection = test.take().unwrap();
    test.run();
    assert_eq!(test.acceptor().stats().accepted, 3, "adopted is not closed");
    test.close(connection);
    test.run_until(|test| test.acceptor().stats().accepted == 4);
    assert_eq!(test.shards.connection_limit.open(), 3);
    assert!(test.acceptor().stats().pauses_at_limit >= 1);
}

/// Whether a rejected client sees a reset.
fn is_reset(mut client: &TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_connection_shed_at_the_limit_is_reset_at_once_and_the_acceptor_goes_on_listening() {
    let mut test = TestAcceptor::with(|config| {
        config.handoff_capacity = capacity(64);
        config.connections_max = NonZeroUsize::new(2);
        config.overload = Overload::Shed;
    });
    let clients = test.connect(5);
    test.run_until(|test| test.acceptor().stats().shed == 3);
    assert!(test.is_listening());
    assert!(clients[2..].iter().all(is_reset));
    let calls = test.acceptor().stats().accept_calls;
    (0..100).for_each(|_| test.run());
    assert_eq!(test.acceptor().stats().accept_calls, calls, "it does not spin");
    assert_eq!(test.shards.connection_limit.open(), 2);
}

#[test]
fn a_connection_shed_because_all_queues_are_full_is_reset_and_not_counted() {
    let mut test = TestAcceptor::with(|config| config.overload = Overload::Shed);
    let clients = test.connect(4);
    test.run_until(|test| test.acceptor().stats().shed == 3);
    assert!(test.is_listening() && clients[1..].iter().all(is_reset));
    assert_eq!((test.shards.connection_limit.open(), test.shards.loads[0].connections()), (1, 1));
}

fn limited_to_one_a_second() -> TestAcceptor {
    TestAcceptor::with(|config| {
        config.handoff_capacity = capacity(64);
        config.accept_rate = NonZeroU32::new(1);
    })
}

#[test]
fn an_acceptor_at_its_rate_was_not_ready_or_delayed_a_shutdown() {
    let mut test = limited_to_one_a_second();
    let clients = test.connect(5);
    test.run_until(|test| matches!(test.acceptor().state, State::Paused(Paused::AtRate)));
    assert!(!test.is_listening(), "it does not spin");
    let stats = test.acceptor().stats();
    assert!(stats.accepting && stats.paused == Some("the accept rate is reached"));
    let _done = test.stop();
    assert!(matches!(test.acceptor().state, State::Accepting), "it does not wait for the timer");
    test.run_until(TestAcceptor::is_done);
    assert_eq!(test.acceptor().stats().accepted, clients.len() as u64);
}

#[test]
fn an_acceptor_whose_backlog_is_empty_does_not_wait_for_its_rate() {
    let mut test = limited_to_one_a_second();
    let _client = test.connect(1);
    test.run_until(|test| test.acceptor().stats().accepted == 1);
    (0..100).for_each(|_| test.run());
    assert!(test.is_listening());
    assert_eq!(test.acceptor().stats().pauses_at_rate, 0);
}

#[test]
fn a_listen_socket_that_the_kernel_refuses_to_watch_is_tried_again_later() {
    let mut test = TestAcceptor::new();
    let watched = test.acceptor().sockets[0].event;
    test.base.registry().activate(watched, Ready::REFUSED).unwrap();
    test.run();
    assert!(!test.is_listening());
    assert_eq!(test.acceptor().stats().pauses_exhausted, 1);
    test.run_until(TestAcceptor::is_listening);
}

#[test]
fn without_workers_the_acceptor_ends_instead_of_holding_a_client_for_ever() {
    let mut test = TestAcceptor::new();
    let clients = test.connect(3);
    test.run_until(TestAcceptor::is_full);
    drop(test.shards.handoffs[0].clone().adopting());
    test.run_until(TestAcceptor::is_done);
    assert!(test.base.registry().got_exit());
    assert!(clients.iter().all(|mut client| matches!(client.read(&mut [0]), Ok(0) | Err(_))));
    assert_eq!(test.shards.connection_limit.open(), 0);
}

#[test]
fn stopping_hands_over_what_is_held_and_what_the_kernel_has_queued() {
    let mut test = TestAcceptor::new();
    let clients = test.connect(4);
    test.run_until(TestAcceptor::is_full);
    let done = test.stop();
    let mut served = Vec::new();
    while !test.is_done() {
        served.extend(test.take());
        test.run();
    }
    served.extend(test.take());
    assert_eq!(served.len(), clients.len());
    assert_eq!(done.try_recv(), Err(TryRecvError::Disconnected));
    assert!(test.base.registry().got_exit(), "with everything handed over, it ends");
    assert!(TcpStream::connect(test.address).is_err(), "no socket listens");
}

#[test]
fn a_worker_that_is_stuck_does_not_keep_the_acceptor_from_ending() {
    let mut test = TestAcceptor::new();
    let _clients = test.connect(4);
    test.run_until(TestAcceptor::is_full);
    let _done = test.stop();
    test.run_until(TestAcceptor::is_done);
    assert_eq!(test.shards.connection_limit.open(), 1, "the held connection is rejected");
}

/// A client that does not wait for its handshake.
fn connecting(address: SocketAddr) -> Socket {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&address.into());
    socket
}

#[test]
fn no_handshake_begins_after_the_stop_and_those_before_it_are_served() {
    let mut test = TestAcceptor::with(|config| config.handoff_capacity = capacity(64));
    let before = test.connect(5);
    let _done = test.stop();
    let after: Vec<_> = (0..5).map(|_| connecting(test.address)).collect();
    test.run_until(TestAcceptor::is_done);
    assert_eq!(test.acceptor().stats().accepted, before.len() as u64);
    assert!(after.iter().all(|socket| socket.peer_addr().is_err()), "no handshake completed");
}

#[test]
fn a_socket_shared_with_another_process_is_left_to_it_with_its_backlog() {
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        ..Default::default()
    };
    let mut listeners = listener::open(&config).unwrap();
    let other = listeners[0].sockets[0].try_clone().unwrap();
    listeners[0].origin = Origin::Shared;
    let mut test = TestAcceptor::on(listeners, &config);
    let _done = test.stop();
    let _clients = test.connect(3);
    test.run_until(TestAcceptor::is_done);
    assert_eq!(test.acceptor().stats().accepted, 0);
    let accepted = (0..3).map(|_| other.accept()).collect::<io::Result<Vec<_>>>();
    assert_eq!(accepted.unwrap().len(), 3, "and it can accept");
    let _later = TcpStream::connect(test.address).unwrap();
    other.accept().unwrap();
}

/// A server that offers its sockets to a successor keeps duplicates of them.
#[test]
fn a_duplicate_of_a_socket_keeps_no_event_of_an_acceptor_alive() {
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        ..Default::default()
    };
    let listeners = listener::open(&config).unwrap();
    let duplicate = listeners[0].sockets[0].try_clone().unwrap();
    let mut test = TestAcceptor::on(listeners, &config);
    test.run();
    let (done, _all_done) = mpsc::channel();
    let owner = BacklogOwner::OtherProcess;
    Acceptor::stop(test.base.registry(), &mut test.thread, owner, done);
    test.run_until(TestAcceptor::is_done);
    let _client = test.connect(1);
    let registry = test.base.registry();
    let soon = Some(Duration::from_millis(30));
    registry.once(EventSpec::timer(), soon, |registry, _, _| registry.loop_exit()).unwrap();
    let before = test.base.registry().stats().waits;
    test.base.run_until_exit(&mut test.thread).unwrap();
    let waits = test.base.registry().stats().waits - before;
    assert!(waits < 5, "{waits} waits in a moment: the kernel still reports it");
    duplicate.accept().expect("it still listens");
}

#[test]
fn a_unix_socket_refuses_after_the_stop_and_serves_earlier_clients() {
    let folder = test_needs::folder();
    let path = folder.path().join("socket");
    let socket = Socket::from(UnixListener::bind(&path).unwrap());
    socket.set_nonblocking(true).unwrap();
    let address = ListenAddress::Unix(path.clone());
    let listener = Listener {
        address,
        tls: false,
        file: None,
        sockets: vec![socket],
        origin: Origin::Own,
        name: None,
    };
    let (workers, handoff_capacity) = (NonZeroUsize::MIN, capacity(64));
    let config = ServerConfig { workers, handoff_capacity, ..Default::default() };
    let mut test = TestAcceptor::on(vec![listener], &config);
    let _before: Vec<_> = (0..5).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let _done = test.stop();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    test.run_until(TestAcceptor::is_done);
    assert_eq!(test.acceptor().stats().accepted, 5);
    let calls = test.acceptor().stats().accept_calls;
    assert!(calls < 20, "{calls} calls: a shut socket is readable for ever");
}

#[test]
fn accepted_sockets_inherit_no_delay_and_do_not_block() {
    let mut test = TestAcceptor::new();
    let _client = test.connect(1);
    test.run_until(|test| !test.shards.handoffs[0].is_empty());
    let socket = test.take().unwrap();
    assert!(socket.nodelay().unwrap());
    let error = (&socket).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_client_meets_the_same_shard_with_every_connection() {
    let mut test = TestAcceptor::with(|config| {
        config.workers = capacity(3);
        config.handoff_capacity = capacity(64);
        config.placement = Placement::SourceHash;
    });
    let _clients = test.connect(9);
    test.run_until(|test| test.acceptor().stats().accepted == 9);
    let loads = test.shards.loads.iter().map(ShardLoad::connections);
    assert_eq!(loads.max(), Some(9));
}

#[test]
fn the_core_that_received_a_connection_can_be_asked() {
    let mut test = TestAcceptor::new();
    let _client = test.connect(1);
    test.run_until(|test| !test.shards.handoffs[0].is_empty());
    let core = crate::sys::socket::incoming_core(&test.take().unwrap());
    assert!(core.is_some_and(|core| core < 4096), "{core:?}");
    let (unix, _) = UnixStream::pair().unwrap();
    assert_eq!(crate::sys::socket::incoming_core(&unix), None);
}
