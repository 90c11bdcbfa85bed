//! A worker: the context of one shard's event base, and its thread.
//!
//! It adopts sockets from its handoff, keeps their connections, and moves each between reading and
//! writing as its flow control asks.

use std::net::TcpStream;
use std::sync::Arc;

use core_affinity::CoreId;
use slab::Slab;

use super::accept::{Accepts, Gate};
use super::arrival::Arrival;
use super::connection::{Connection, Progress};
use super::handoff::Handoff;
use super::report::{Traffic, WorkerTally};
use crate::base::{EventBase, Registry};
use crate::error::Result;
use crate::event::{EventSpec, Fired, Interest, Ready, Token};

/// Adoptions per turn: new connections must not keep open ones waiting.
const ADOPTIONS_PER_TURN_MAX: usize = 64;

/// Bytes read at once, into one buffer for all connections of the shard: between calls nobody needs
/// it. Large enough for a window of loopback data, small enough for the second-level cache.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The context of a worker's base.
#[derive(Debug)]
pub(super) struct Worker {
    handoff: Arc<Handoff>,
    core: Option<CoreId>,
    pub(super) connections: Slab<Connection>,
    buffer: Box<[u8]>,
    traffic: Traffic,
    /// The accepting half, where workers accept.
    pub(super) gate: Option<Gate>,
    /// Times it was notified and found nothing in its queue.
    wakes_spurious: u64,
    /// Set by the drain: the worker ends with its last connection.
    pub(super) ends_when_empty: bool,
}

impl Worker {
    /// A worker that gets its sockets from `handoff`; `registry` is that of its base.
    pub(super) fn new(
        handoff: Arc<Handoff>,
        core: Option<CoreId>,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        let adopt = registry.create(EventSpec::notify(), on_handoff);
        registry.add(adopt, None)?;
        Ok(Self {
            handoff,
            core,
            connections: Slab::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            traffic: Traffic::default(),
            gate: None,
            wakes_spurious: 0,
            ends_when_empty: false,
        })
    }

    /// The worker's thread.
    pub(super) fn run(mut base: EventBase<Self>, mut worker: Self) -> Result<WorkerTally> {
        // However this ends, by a panic too, the acceptor must not count on it any longer.
        let _adopting = worker.handoff.clone().adopting();
        // A core that went offline since is no reason not to serve: the report says where we ran.
        let pinned = worker.core.filter(|core| core_affinity::set_for_current(*core));
        base.run_until_exit(&mut worker)?;
        Ok(WorkerTally {
            core: pinned.map(|core| core.id),
            traffic: worker.traffic,
            turns: base.registry().stats(),
            gate: worker.gate.map(|gate| gate.stats()),
            wakes_spurious: worker.wakes_spurious,
        })
    }

    /// Adopts what was handed over, at most `limit` connections; returns how many it were.
    pub(super) fn adopt_waiting(&mut self, registry: &mut Registry<Self>, limit: usize) -> usize {
        let handoff = self.handoff.clone();
        handoff.take(limit, |arrival| self.adopt(registry, arrival))
    }

    fn adopt(&mut self, registry: &mut Registry<Self>, arrival: Arrival) {
        let socket = TcpStream::from(arrival.socket);
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key() as u64);
        let readable = EventSpec::io(&socket, Interest::READ).persist().token(token);
        let readable = registry.create(readable, on_readable);
        self.traffic.connections += 1;
        let key = entry.key();
        entry.insert(Connection::new(socket, readable));
        // The kernel is out of watches or memory: this connection ends here, visibly. With the
        // deferred changelist it does so in its handler.
        if registry.add(readable, None).is_err() {
            self.fail(registry, key);
        }
    }

    /// All connections, in a list of its own: whoever walks it may close them.
    pub(super) fn connection_keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }

    /// Ends a connection whose peer is done, or is to be; visibly, if it was owed bytes.
    pub(super) fn close(&mut self, registry: &mut Registry<Self>, key: usize) {
        if self.connections[key].is_even() {
            self.remove(registry, key);
        } else {
            self.fail(registry, key);
        }
    }

    /// Ends a connection that did not get what it was owed.
    fn fail(&mut self, registry: &mut Registry<Self>, key: usize) {
        self.traffic.errors += 1;
        self.connections[key].reset_on_close();
        self.remove(registry, key);
    }

    /// Frees everything of a connection and closes its socket.
    fn remove(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = self.connections.remove(key);
        registry.free(connection.readable);
        if let Some(writable) = connection.writable {
            registry.free(writable);
        }
        drop(connection); // closed before it is told that it is
        self.handoff.closed();
        if self.ends_when_empty && self.connections.is_empty() {
            registry.loop_exit();
        }
    }

    /// Stops reading a connection whose peer does not read, until it can be written to again.
    fn wait_until_writable(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        let token = Token(key as u64);
        let writable = EventSpec::io(connection.socket(), Interest::WRITE).persist().token(token);
        let writable = registry.create(writable, on_writable);
        connection.writable = Some(writable);
        registry.del(connection.readable);
        if registry.add(writable, None).is_err() {
            self.fail(registry, key);
        }
    }

    /// Reads a connection again after everything was written.
    fn wait_until_readable(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        if let Some(writable) = connection.writable.take() {
            registry.free(writable);
        }
        if registry.add(connection.readable, None).is_err() {
            self.fail(registry, key);
        }
    }

    /// Echoes what a connection sent, and has it wait for what comes next.
    pub(super) fn serve(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        match connection.echo(&mut self.buffer, &mut self.traffic) {
            Ok(Progress::Idle) => {}
            Ok(Progress::Blocked) => self.wait_until_writable(registry, key),
            Ok(Progress::Finished) => self.close(registry, key),
            Err(_) => self.fail(registry, key),
        }
    }
}

impl Accepts for Worker {
    fn gate(&mut self) -> Option<&mut Gate> {
        self.gate.as_mut()
    }

    /// A worker goes on serving.
    fn gate_is_done(_registry: &mut Registry<Self>, _worker: &mut Self) {}
}

fn on_handoff(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    if worker.adopt_waiting(registry, ADOPTIONS_PER_TURN_MAX) == 0 {
        worker.wakes_spurious += 1;
    }
}

fn on_readable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    if fired.ready.contains(Ready::REFUSED) {
        worker.fail(registry, key);
    } else {
        worker.serve(registry, key);
    }
}

fn on_writable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    if fired.ready.contains(Ready::REFUSED) {
        worker.fail(registry, key);
        return;
    }
    match worker.connections[key].send_rest() {
        Ok(true) => worker.wait_until_readable(registry, key),
        Ok(false) => {}
        Err(_) => worker.fail(registry, key),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::time::{Duration, Instant};

    use socket2::{Domain, SockRef, Socket, Type};

    use super::super::accept::Census;
    use super::super::load;
    use super::*;
    use crate::base::{Config, LoopFlags};

    const SENT: usize = 60_000;

    /// A client that sent everything and then its end, and a server's socket that has all of it
    /// and little room to answer.
    fn one_sided_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before the connection is made: what was promised to the peer is not taken back.
        client.set_recv_buffer_size(4096).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let mut client = TcpStream::from(client);
        let (socket, _) = listener.accept().unwrap();
        SockRef::from(&socket).set_send_buffer_size(4096).unwrap();
        client.write_all(&[7; SENT]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while socket.peek(&mut [0; READ_BUFFER_BYTES]).unwrap() < SENT {
            assert!(Instant::now() < deadline, "the bytes never arrived");
        }
        socket.set_nonblocking(true).unwrap();
        (client, socket)
    }

    /// A worker that adopted one connection and did what there was to do.
    fn worker_with(socket: TcpStream) -> (EventBase<Worker>, Worker, usize) {
        let mut base = EventBase::<Worker>::new(Config::default()).unwrap();
        let census = Arc::new(Census::new(None, Vec::new()));
        assert!(census.enter());
        let to_worker = base.registry().notifier();
        let handoff = Arc::new(Handoff::new(8, to_worker, 0, load::loads(1), census));
        let mut worker = Worker::new(handoff.clone(), None, base.registry()).unwrap();
        let arrival = Arrival { socket: socket.into(), accepted_at: None, listener: 0 };
        handoff.offer(arrival).unwrap();
        let _ = handoff.wake_worker();
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        let [key] = worker.connection_keys()[..] else { panic!("one connection was adopted") };
        (base, worker, key)
    }

    /// Everything was read and not everything was sent: an orderly close would tell the client
    /// that the echo is complete.
    #[test]
    fn a_connection_cut_while_bytes_are_owed_ends_in_a_reset() {
        let (mut client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = worker_with(socket);
        assert!(!worker.connections[key].is_even(), "the client reads nothing");
        worker.close(base.registry(), key);
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(worker.traffic.errors, 1);
    }

    #[test]
    fn a_connection_that_the_kernel_refuses_to_watch_ends_visibly() {
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = worker_with(socket);
        let events = [Some(worker.connections[key].readable), worker.connections[key].writable];
        base.registry().activate(events[1].unwrap(), Ready::REFUSED).unwrap();
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        assert!(worker.connections.is_empty());
        assert_eq!(worker.traffic.errors, 1);
        for id in events.into_iter().flatten() {
            assert!(base.registry().add(id, None).is_err(), "its events are freed");
        }
    }
}
