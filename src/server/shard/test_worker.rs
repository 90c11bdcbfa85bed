//! A worker for tests, with one connection and no thread.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::adopt;
use super::byte_rates::TotalByteRate;
use super::end_together::EndTogether;
use super::worker::{Shared, Worker, base_config};
use crate::base::EventBase;
use crate::server::config::ServerConfig;
use crate::server::connection_limit::ConnectionLimit;
use crate::server::handoff::Handoff;
use crate::server::handoff::accepted_connection::AcceptedConnection;
use crate::server::memory::MemoryLimit;
use crate::server::placement::load;
use crate::server::service::{Host, MessageSender, Service};

pub(super) const SENT: usize = 60_000;

/// A client that has sent everything and then its end of stream. The server's socket has all of it
/// and little room to answer.
pub(super) fn one_sided_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Set before connecting: a window once offered to the peer is not taken back.
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let mut client = TcpStream::from(client);
    let (socket, _) = listener.accept().unwrap();
    SockRef::from(&socket).set_send_buffer_size(4096).unwrap();
    client.write_all(&[7; SENT]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while socket.peek(&mut [0; SENT]).unwrap() < SENT {
        assert!(Instant::now() < deadline, "the bytes never arrived");
    }
    socket.set_nonblocking(true).unwrap();
    (client, socket)
}

/// A client, and the server's socket.
pub(super) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    (client, socket)
}

/// A worker with one connection in its handoff, before its first turn.
pub(super) fn worker_with(service: impl Service, socket: TcpStream) -> (EventBase<Worker>, Worker) {
    let memory = Arc::new(MemoryLimit::new(usize::MAX, Vec::new()));
    let (base, worker) = worker_with_memory(service, memory);
    hand_over(&worker, socket);
    (base, worker)
}

/// A worker without connections, whose buffers count against `memory`.
pub(super) fn worker_with_memory(
    service: impl Service,
    memory: Arc<MemoryLimit>,
) -> (EventBase<Worker>, Worker) {
    configured_worker(service, memory, ServerConfig::default())
}

/// A worker without connections, of a server with this configuration.
pub(super) fn configured_worker<S: Service>(
    service: S,
    memory: Arc<MemoryLimit>,
    config: ServerConfig,
) -> (EventBase<Worker>, Worker) {
    let mut base = EventBase::<Worker>::new(base_config(&config)).unwrap();
    let connection_limit = Arc::new(ConnectionLimit::new(None, Vec::new()));
    let to_worker = base.registry().notifier();
    let handoff = Arc::new(Handoff::new(8, to_worker, 0, load::loads(1), connection_limit));
    let sender = MessageSender::new(S::MESSAGES_MAX, vec![base.registry().notifier()]);
    let host = Box::new(Host::new(service, sender, 0));
    let byte_rate = TotalByteRate::of(&config);
    let end = EndTogether::new(vec![base.registry().notifier()]);
    let shared = Shared { memory, sources: None, byte_rate, end };
    let worker = Worker::new(handoff, None, host, shared, &config, base.registry()).unwrap();
    adopt::start(base.registry()).unwrap();
    (base, worker)
}

/// Puts a connection into the handoff of a worker.
pub(super) fn hand_over(worker: &Worker, socket: TcpStream) {
    hand_over_from(worker, socket, false);
}

/// The same, for a connection of a listener with TLS.
pub(super) fn hand_over_tls(worker: &Worker, socket: TcpStream) {
    hand_over_from(worker, socket, true);
}

fn hand_over_from(worker: &Worker, socket: TcpStream, tls: bool) {
    assert!(worker.shard.handoff.connection_limit().try_acquire());
    let socket = socket.into();
    let connection =
        AcceptedConnection { socket, accepted_at: None, listener: 0, tls, source: None };
    worker.shard.handoff.offer(connection).unwrap();
    let _ = worker.shard.handoff.wake_worker();
}
