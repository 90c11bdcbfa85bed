//! Many handshakes beside open connections, turn by turn.

use std::collections::HashSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::super::close_reason::CloseReason;
use super::super::connection_state::Stage;
use super::super::drain;
use super::super::test_worker::{configured_worker, hand_over_tls, pair};
use super::super::worker::Worker;
use crate::backend::BackendKind;
use crate::base::{Config, EventBase, LoopFlags};
use crate::buffer::Buffer;
use crate::server::config::{Drain, ProxyMode, ProxyProtocol, ServerConfig};
use crate::server::memory::MemoryLimit;
use crate::server::service::Echo;
use crate::tls::{Identity, TlsClient, TlsServer, TrustRoots};
use crate::transport::{Transport, would_block};

/// One step of a handshake takes longer, so each turn does one.
const ONE_STEP: u64 = 1;

const ALL_STEPS: u64 = u64::MAX;

/// A worker and its clients.
struct Bench {
    base: EventBase<Worker>,
    worker: Worker,
    memory: Arc<MemoryLimit>,
    tls: TlsClient,
}

/// A client, and the key of its connection.
struct Client {
    transport: Transport,
    key: usize,
}

impl Bench {
    fn new(turn_ns: u64) -> Self {
        Self::with(turn_ns, ServerConfig::default(), 0, None, usize::MAX)
    }

    /// `chain` certificates follow that of the server. Buffers hold at most `memory_max` bytes.
    fn with(
        turn_ns: u64,
        config: ServerConfig,
        chain: usize,
        timeout: Option<Duration>,
        memory_max: usize,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let sent = certificate.repeat(1 + chain);
        let identity = Identity::from_pem(sent.as_bytes(), key.as_bytes()).unwrap();
        let server = TlsServer::builder(identity).handshake_timeout(timeout).build().unwrap();
        let roots = TrustRoots::from_pem(certificate.as_bytes()).unwrap();
        // This backend reports readiness in its order.
        let base = Config::default().ignore_environment().backend(BackendKind::Epoll);
        let memory = Arc::new(MemoryLimit::new(memory_max, Vec::new()));
        let config = ServerConfig { base, tls: Some(server), ..config };
        let (mut base, mut worker) = configured_worker(Echo, memory.clone(), config);
        // Otherwise a run goes on while deferred handshakes are active.
        base.registry().watch_check(|registry, _| registry.loop_exit());
        worker.shard.tls.as_mut().unwrap().turn_share.turn_ns = turn_ns;
        let tls = TlsClient::builder(roots).without_resumption().build().unwrap();
        Self { base, worker, memory, tls }
    }

    /// Runs one turn.
    fn turn(&mut self) {
        self.base.run_with(&mut self.worker, LoopFlags::NONBLOCK).unwrap();
    }

    /// Hands a connection over, and lets the worker adopt it in a turn.
    fn adopt(&mut self, (client, socket): (TcpStream, TcpStream)) -> Client {
        client.set_nonblocking(true).unwrap();
        client.set_nodelay(true).unwrap();
        let before: HashSet<usize> = self.worker.connection_keys().into_iter().collect();
        hand_over_tls(&self.worker, socket);
        self.turn();
        let keys = self.worker.connection_keys();
        let key = keys.into_iter().find(|key| !before.contains(key)).expect("it was adopted");
        let mut transport = Transport::new(client);
        let connection = self.tls.connection("localhost").unwrap();
        transport.start_tls(connection, None, Buffer::new());
        Client { transport, key }
    }

    fn clients(&mut self, count: usize) -> Vec<Client> {
        (0..count).map(|_| self.adopt(pair())).collect()
    }

    /// Clients that have sent their ClientHello, in this order.
    fn clients_that_wait(&mut self, count: usize) -> Vec<Client> {
        let clients = self.clients(count);
        clients.iter().for_each(|client| self.send_hello(client));
        clients
    }

    /// Sends a ClientHello, and waits until it is there.
    fn send_hello(&self, client: &Client) {
        assert!(!client.transport.handshake().unwrap());
        self.await_input(client);
    }

    /// Waits until the server's socket has something to read. The kernel may take a while.
    fn await_input(&self, client: &Client) {
        let socket = self.worker.shard.connections[client.key].transport.socket();
        let mut byte = [std::mem::MaybeUninit::uninit()];
        eventually(|| socket.peek(&mut byte).is_ok_and(|length| length > 0));
    }

    fn has_begun(&self, client: &Client) -> bool {
        self.worker.shard.connections[client.key].transport.has_peer_begun_tls()
    }

    /// The indexes of those whose handshake has begun.
    fn begun(&self, clients: &[Client]) -> Vec<usize> {
        (0..clients.len()).filter(|index| self.has_begun(&clients[*index])).collect()
    }

    /// Finishes these handshakes, and uses the connections.
    fn finish(&mut self, clients: &[Client]) {
        let mut done = vec![false; clients.len()];
        eventually(|| {
            for (client, done) in clients.iter().zip(&mut done) {
                *done = *done || client.transport.handshake().unwrap();
            }
            self.turn();
            !done.contains(&false)
        });
        clients.iter().for_each(|client| self.echo(client));
    }

    fn echo(&mut self, client: &Client) {
        assert_eq!(client.transport.write(b"hello").unwrap(), 5);
        let mut back = [0; 6];
        eventually(|| {
            self.turn();
            match client.transport.read(&mut back) {
                Ok(length) => {
                    assert_eq!(&back[..length], b"hello");
                    true
                }
                Err(error) => {
                    assert!(would_block(&error), "{error}");
                    false
                }
            }
        });
    }

    /// As a tick of the drain does, if it is open.
    fn close_if_quiet(&mut self, client: &Client) {
        if self.worker.shard.connections.contains(client.key) {
            let registry = self.base.registry();
            drain::close_if_quiet(&mut self.worker.connection(registry, client.key));
        }
    }

    fn deferred(&self) -> u64 {
        self.worker.shard.stats.handshakes.deferred
    }

    fn stage(&self, client: &Client) -> Stage {
        self.worker.shard.connections[client.key].stage
    }
}

/// Waits until the condition holds.
#[track_caller]
fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came true");
    }
}

#[test]
fn a_turn_does_the_handshakes_that_its_time_allows_and_the_next_ones_go_on_in_order() {
    const CLIENTS: usize = 20;
    let mut bench = Bench::new(ONE_STEP);
    let clients = bench.clients_that_wait(CLIENTS);
    for turn in 1..=CLIENTS {
        bench.turn();
        assert_eq!(bench.begun(&clients), (0..turn).collect::<Vec<_>>(), "turn {turn}");
        assert_eq!(bench.deferred(), CLIENTS as u64 - 1, "each was deferred once");
    }
    bench.finish(&clients);
    assert_eq!(bench.worker.shard.stats.handshakes.done, CLIENTS as u64);
    assert_eq!(bench.worker.shard.stats.errors.total(), 0);
    assert!(!bench.worker.shard.tls.as_ref().unwrap().turn_share.has_deferred());

    let mut bench = Bench::new(ALL_STEPS);
    let clients = bench.clients_that_wait(CLIENTS);
    bench.turn();
    assert_eq!(bench.begun(&clients).len(), CLIENTS, "there was time for all");
    bench.finish(&clients);
    assert_eq!((bench.deferred(), bench.worker.shard.stats.handshakes.done), (0, CLIENTS as u64));
}

#[test]
fn handshakes_that_begin_later_wait_behind_those_that_wait_already() {
    let mut bench = Bench::new(ONE_STEP);
    let early = bench.clients_that_wait(4);
    bench.turn();
    // Its second step is new work, too, and so are these.
    eventually(|| early[0].transport.handshake().unwrap());
    bench.await_input(&early[0]);
    bench.turn();
    assert_eq!(bench.begun(&early[1..]), [0]);
    for (turn, last) in [(3, 1), (4, 2)] {
        assert_eq!(bench.worker.shard.stats.handshakes.done, 0, "turn {turn}");
        bench.turn();
        assert_eq!(bench.begun(&early[1..]), (0..=last).collect::<Vec<_>>(), "turn {turn}");
    }
    bench.turn();
    assert_eq!(bench.worker.shard.stats.handshakes.done, 1);
    bench.finish(&early);
}

#[test]
fn an_open_connection_is_served_in_each_turn_of_a_flood_of_handshakes() {
    const CLIENTS: usize = 24;
    let mut bench = Bench::new(ONE_STEP);
    let open = bench.clients(1);
    bench.finish(&open);
    let clients = bench.clients_that_wait(CLIENTS);
    for turn in 1..=CLIENTS {
        open[0].transport.write(b"x").unwrap();
        bench.await_input(&open[0]);
        let sent = bench.worker.shard.stats.bytes_out;
        bench.turn();
        assert_eq!(bench.worker.shard.stats.bytes_out, sent + 1, "turn {turn}");
        assert_eq!(bench.begun(&clients).len(), turn);
    }
    bench.finish(&clients);
}

#[test]
fn a_deferred_connection_that_closes_is_skipped_also_if_another_has_its_key() {
    let mut bench = Bench::new(ONE_STEP);
    let mut clients = bench.clients_that_wait(4);
    bench.turn();
    assert_eq!(bench.begun(&clients), [0]);
    let closed = clients.remove(1);
    bench.worker.connection(bench.base.registry(), closed.key).fail(CloseReason::Cut);
    // It has the key before the turn of the one that closed would have come.
    let new = bench.adopt(pair());
    assert_eq!(new.key, closed.key);
    assert_eq!(bench.begun(&clients), [0, 1], "the time of this turn was for the next one");
    assert_eq!(bench.stage(&new), Stage::Handshake { deferred: false });
    bench.send_hello(&new);
    bench.turn();
    assert!(bench.begun(&clients) == [0, 1, 2] && !bench.has_begun(&new));
    assert_eq!(bench.stage(&new), Stage::Handshake { deferred: true });
    bench.turn();
    assert!(bench.has_begun(&new));
    clients.push(new);
    bench.finish(&clients);

    // All of them close.
    let clients = bench.clients_that_wait(3);
    bench.turn();
    for client in &clients {
        bench.worker.connection(bench.base.registry(), client.key).fail(CloseReason::Cut);
    }
    bench.turn();
    assert!(!bench.worker.shard.tls.as_ref().unwrap().turn_share.has_deferred());
}

#[test]
fn a_deferred_handshake_has_its_deadline() {
    let timeout = Duration::from_millis(20);
    let mut bench = Bench::with(ONE_STEP, ServerConfig::default(), 0, Some(timeout), usize::MAX);
    let clients = bench.clients_that_wait(5);
    bench.turn();
    std::thread::sleep(2 * timeout);
    for _ in 0..10 {
        bench.turn();
    }
    assert!(bench.worker.shard.connections.is_empty());
    let handshakes = bench.worker.shard.stats.handshakes;
    assert_eq!((handshakes.errors.timeout, handshakes.done), (5, 0));
    drop(clients);
}

const DRAIN: Drain =
    Drain { delay: Duration::ZERO, timeout: Duration::from_secs(60), spread: Duration::ZERO };

#[test]
fn a_drain_does_not_close_connections_that_wait_for_the_next_turn() {
    let mut bench = Bench::new(ONE_STEP);
    let clients = bench.clients_that_wait(6);
    bench.turn();
    drain::begin(bench.base.registry(), &mut bench.worker, DRAIN);
    for _ in 0..3 {
        for client in &clients {
            bench.close_if_quiet(client);
        }
    }
    assert_eq!(bench.worker.shard.connections.len(), 6);
    bench.finish(&clients);
    while !bench.worker.shard.connections.is_empty() {
        bench.turn();
    }
    for client in &clients {
        eventually(|| client.transport.read(&mut [0]).is_ok_and(|length| length == 0));
    }
    assert_eq!(bench.worker.shard.stats.errors.total(), 0);
    assert_eq!(bench.worker.shard.stats.handshakes.done, 6);
}

#[test]
fn a_drain_closes_connections_that_have_sent_nothing_and_serves_those_that_have() {
    let mut bench = Bench::new(ALL_STEPS);
    let [silent, early, late] = <[Client; 3]>::try_from(bench.clients(3)).ok().unwrap();
    bench.send_hello(&early);
    bench.turn();
    drain::begin(bench.base.registry(), &mut bench.worker, DRAIN);
    // It comes after the last turn, as while the shard was busy with others.
    bench.send_hello(&late);
    for _ in 0..3 {
        for client in [&silent, &early, &late] {
            bench.close_if_quiet(client);
        }
    }
    assert!(!bench.worker.shard.connections.contains(silent.key), "it is quiet");
    bench.finish(&[early, late]);
    assert_eq!(bench.worker.shard.stats.errors.total(), 0);
    let handshakes = bench.worker.shard.stats.handshakes;
    assert_eq!((handshakes.done, handshakes.errors.closed), (2, 0));
}

fn proxied() -> ServerConfig {
    let trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let proxy = ProxyProtocol { mode: ProxyMode::Require, trusted };
    ServerConfig { proxy, ..ServerConfig::default() }
}

/// Sends this before its part of the handshake, in one segment with it.
fn send_with_hello(client: &Client, first: &[u8]) {
    let socket = client.transport.socket();
    socket.set_tcp_cork(true).unwrap();
    let mut to = socket;
    to.write_all(first).unwrap();
    assert!(!client.transport.handshake().unwrap());
    socket.set_tcp_cork(false).unwrap();
}

/// A proxy may send header and ClientHello in one segment. The worker reads both at once, and
/// must not do the work of the handshake before its turn.
#[test]
fn a_client_hello_that_came_with_a_proxy_header_waits_for_its_turn_like_others() {
    const CLIENTS: usize = 10;
    let mut bench = Bench::with(ONE_STEP, proxied(), 0, None, usize::MAX);
    let clients = bench.clients(CLIENTS);
    for client in &clients {
        send_with_hello(client, b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n");
        bench.await_input(client);
    }
    for turn in 1..=CLIENTS {
        bench.turn();
        assert_eq!(bench.begun(&clients), (0..turn).collect::<Vec<_>>(), "turn {turn}");
    }
    bench.finish(&clients);
    assert_eq!(bench.worker.shard.stats.errors.total(), 0);
    drop(bench.worker);
    assert_eq!(bench.memory.held(), 0);
}

/// A client with a small window, and the server's socket, which holds little.
fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    SockRef::from(&socket).set_send_buffer_size(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    (client.into(), socket)
}

/// The part of the server is larger than its socket and the window of the client.
#[test]
fn a_handshake_goes_on_when_the_socket_takes_the_next_part_of_it() {
    for turn_ns in [ONE_STEP, ALL_STEPS] {
        let mut bench = Bench::with(turn_ns, ServerConfig::default(), 100, None, usize::MAX);
        let clients: Vec<Client> = (0..3).map(|_| bench.adopt(narrow_pair())).collect();
        clients.iter().for_each(|client| bench.send_hello(client));
        for _ in 0..5 {
            bench.turn();
        }
        for client in &clients {
            let connection = &bench.worker.shard.connections[client.key];
            assert!(connection.transport.unsent() > 10_000 && connection.writable.is_some());
        }
        assert!(bench.memory.held() > 30_000, "what waits is counted");
        bench.finish(&clients);
        assert_eq!(bench.memory.held(), 0);
        assert_eq!(bench.worker.shard.stats.handshakes.done, 3);
    }
}

/// Clients that begin a handshake and read nothing of the server's part of it.
#[test]
fn what_waits_in_handshakes_counts_against_the_memory_limit_and_never_exceeds_it() {
    const LIMIT: usize = 1 << 20;
    const CLIENTS: usize = 40;
    let mut bench = Bench::with(ALL_STEPS, ServerConfig::default(), 100, None, LIMIT);
    let mut most = 0;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = bench.adopt(narrow_pair());
        bench.send_hello(&client);
        clients.push(client);
        for _ in 0..3 {
            bench.turn();
            most = most.max(bench.memory.held());
        }
    }
    assert!(most > LIMIT / 2 && most <= LIMIT, "{most}");
    let errors = bench.worker.shard.stats.errors;
    assert!(errors.no_memory > 0 && errors.no_memory < CLIENTS as u64, "{errors:?}");
    assert_eq!(errors.total(), errors.no_memory);
    let open = bench.worker.connection_keys();
    assert_eq!(open.len() as u64 + errors.no_memory, CLIENTS as u64);
    drop(clients);
    eventually(|| {
        bench.turn();
        bench.worker.shard.connections.is_empty()
    });
    assert_eq!(bench.memory.held(), 0);
}
