//! Dialing: connections that a service asks for. A dial looks up, connects and does its TLS
//! handshake. Then its connection is as any other, or the service learns why there is none.
//!
//! A dial acquires its slot of the connection limit first. It starts once no callback runs, so that
//! its result is never a call inside the call that asked for it.

mod dial;
mod error;
mod handshake;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;

use slab::Slab;
use socket2::Socket;

use super::connection_mut::ConnectionMut;
use super::connection_state::Stage;
use super::shard_mut::ShardMut;
use super::shard_numbers::ShardNumbers;
use super::worker::Worker;
use crate::base::Registry;
use crate::connect::{ConnectEvents, Connector, Progress, Resolver};
use crate::event::{EventId, EventSpec, Fired, Token};
use crate::transport::Transport;
pub use dial::Dial;
use dial::Target;
pub use error::DialError;

/// Names a dial that has not ended; `Copy`. Once it has, the id is *stale* and stays so. On another
/// shard it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DialId {
    number: NonZeroU64,
    key: u32,
}

/// The dials of a shard that have not ended.
pub(super) struct Dials {
    dials: Slab<Dialing>,
    /// The dials of connections that do their handshake, by connection key.
    of_connections: HashMap<usize, usize>,
    /// Those that start once no callback runs.
    new: Vec<DialId>,
    numbers: ShardNumbers,
    resolver: Option<Resolver>,
    /// Its handler starts the new ones.
    starter: Option<EventId>,
}

/// A dial that has not ended.
struct Dialing {
    number: NonZeroU64,
    dial: Dial,
    stage: DialStage,
    /// Why there will be no connection.
    error: Option<DialError>,
}

impl Dialing {
    /// Whether it was refused when it began, and acquired no slot.
    fn is_refused(&self) -> bool {
        matches!(self.stage, DialStage::New) && self.error.is_some()
    }
}

enum DialStage {
    New,
    Connecting(Box<Connector>),
    /// The connection with this key does its handshake.
    Handshake(usize),
}

impl Dials {
    /// No dials of a shard that numbers them so.
    pub(super) fn new(numbers: ShardNumbers) -> Self {
        Self {
            dials: Slab::new(),
            of_connections: HashMap::new(),
            new: Vec::new(),
            numbers,
            resolver: None,
            starter: None,
        }
    }

    /// The dial of a connection that does its handshake.
    pub(super) fn of_connection(&self, key: usize) -> Option<usize> {
        self.of_connections.get(&key).copied()
    }

    /// Removes it; from now on the connection is as any other, or gone.
    pub(super) fn end_of_connection(&mut self, key: usize) -> Option<(usize, Option<DialError>)> {
        let dial = self.of_connections.remove(&key)?;
        Some((dial, self.dials.remove(dial).error))
    }

    /// Whether none has a slot of the connection limit. Those that were refused end by themselves.
    pub(super) fn hold_no_slot(&self) -> bool {
        self.dials.iter().all(|(_, dialing)| dialing.is_refused())
    }

    fn key_of(&self, id: DialId) -> Option<usize> {
        let key = id.key as usize;
        self.dials.get(key).filter(|dial| dial.number == id.number).map(|_| key)
    }

    fn events(key: usize) -> ConnectEvents<Worker> {
        ConnectEvents { token: Token(key as u64), on_attempt, on_timer }
    }
}

impl ShardMut<'_> {
    /// Begins a dial. Its key is that of the session that waits for it.
    pub(in crate::server) fn dial(&mut self, dial: Dial) -> (usize, DialId) {
        let error = if self.state.drain_is_over || !self.state.serving.serves() {
            Some(DialError::Draining)
        } else if !self.state.handoff.begin_dial() {
            Some(DialError::TooManyConnections)
        } else {
            None
        };
        self.state.stats.dials += 1;
        let dials = &mut self.state.dials;
        let number = dials.numbers.next();
        let key = dials.dials.insert(Dialing { number, dial, stage: DialStage::New, error });
        let id = DialId { number, key: key as u32 };
        if dials.new.is_empty() {
            let starter = *dials
                .starter
                .get_or_insert_with(|| self.registry.create(EventSpec::timer(), on_start));
            self.registry.schedule(starter).expect("it lives as long as the worker");
        }
        dials.new.push(id);
        (key, id)
    }

    /// Ends a dial; returns the key of its session, if it had not ended. There is no result then.
    pub(in crate::server) fn cancel_dial(&mut self, id: DialId) -> Option<usize> {
        let key = self.state.dials.key_of(id)?;
        let dialing = self.state.dials.dials.remove(key);
        match dialing.stage {
            DialStage::Handshake(connection) => {
                self.state.dials.of_connections.remove(&connection);
                self.abort(connection);
            }
            DialStage::Connecting(connector) => {
                connector.cancel(self.registry);
                self.state.handoff.closed();
            }
            DialStage::New if dialing.error.is_none() => self.state.handoff.closed(),
            DialStage::New => {}
        }
        self.state.end_if_empty();
        Some(key)
    }
}

fn on_start(registry: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    worker.start_dials(registry);
    worker.mark();
}

/// The socket of an attempt is connected, or its connect failed.
fn on_attempt(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    worker.advance_dial(registry, fired.token.0 as usize, |connector, registry, events| {
        connector.attempt_ended(registry, events, fired.id)
    });
}

/// It is time for the next attempt, or to give up.
fn on_timer(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    worker.advance_dial(registry, fired.token.0 as usize, Connector::advance);
}

impl Worker {
    /// Starts the new dials, or reports that they were refused.
    pub(super) fn start_dials(&mut self, registry: &mut Registry<Self>) {
        for id in std::mem::take(&mut self.shard.dials.new) {
            if let Some(key) = self.shard.dials.key_of(id) {
                self.start_dial(registry, key);
            }
        }
    }

    fn start_dial(&mut self, registry: &mut Registry<Self>, key: usize) {
        let Dials { dials, resolver, .. } = &mut self.shard.dials;
        let Dialing { number, dial, error, .. } = &mut dials[key];
        if let Some(error) = error.take() {
            return self.fail_refused_dial(registry, key, error);
        }
        let (number, timeout) = (*number, Some(dial.deadline));
        let events = Dials::events(key);
        let connector = match &dial.target {
            Target::Unix(path) => {
                return match dial::connect_unix(path) {
                    Ok(socket) => self.dial_connected(registry, key, socket),
                    Err(source) => {
                        let error = DialError::Unix { path: path.clone(), source };
                        self.fail_dial(registry, key, error);
                    }
                };
            }
            Target::Address(address) => Connector::to_address(registry, &events, *address, timeout),
            Target::Host(name, port) => {
                let remote = registry.remote();
                let id = DialId { number, key: key as u32 };
                let lookup = resolver.get_or_insert_with(Resolver::new).look_up(
                    name,
                    *port,
                    move |addresses| {
                        // If the worker has ended, so has the dial.
                        let _ = remote.post(move |registry, worker| {
                            worker.dial_looked_up(registry, id, addresses);
                        });
                    },
                );
                let host = format!("{name}:{port}");
                match lookup {
                    Ok(lookup) => Connector::to_host(registry, &events, host, lookup, timeout),
                    Err(error) => return self.fail_dial(registry, key, error.into()),
                }
            }
        };
        self.shard.dials.dials[key].stage = DialStage::Connecting(Box::new(connector));
        self.advance_dial(registry, key, Connector::advance);
    }

    fn dial_looked_up(
        &mut self,
        registry: &mut Registry<Self>,
        id: DialId,
        addresses: io::Result<Vec<SocketAddr>>,
    ) {
        if let Some(key) = self.shard.dials.key_of(id) {
            self.advance_dial(registry, key, |connector, registry, events| {
                connector.looked_up(registry, events, addresses)
            });
        }
    }

    fn advance_dial(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        advance: impl FnOnce(&mut Connector, &mut Registry<Self>, &ConnectEvents<Self>) -> Progress,
    ) {
        let Some(dialing) = self.shard.dials.dials.get_mut(key) else { return };
        let DialStage::Connecting(connector) = &mut dialing.stage else { return };
        match advance(connector, registry, &Dials::events(key)) {
            Progress::Waits => {}
            Progress::Connected(socket) => self.dial_connected(registry, key, socket),
            Progress::Failed(error) => self.fail_dial(registry, key, error.into()),
        }
        self.mark();
    }

    /// Adopts the socket of a dial, and starts its handshake if it has TLS.
    fn dial_connected(&mut self, registry: &mut Registry<Self>, dial: usize, socket: Socket) {
        // Accepted ones have it of their listener. A unix socket has no such option.
        let _ = socket.set_tcp_nodelay(true);
        let transport = Transport::new(socket);
        let settings = &self.shard.dials.dials[dial].dial;
        let (is_tls, mut time_left) = (settings.tls.is_some(), settings.deadline);
        let key = self.add_connection(registry, transport, is_tls, Stage::Reading);
        // No deadline of a first byte: the peer may have nothing to say before it is asked.
        self.shard.connections[key].received_any = true;
        let stage = &mut self.shard.dials.dials[dial].stage;
        let stage = std::mem::replace(stage, DialStage::Handshake(key));
        if let DialStage::Connecting(connector) = stage {
            time_left = connector.time_left(registry.now()).unwrap_or(time_left);
            connector.cancel(registry);
        }
        self.shard.dials.of_connections.insert(key, dial);
        self.connection(registry, key).begin_dialed(dial, time_left);
    }

    /// Ends a dial that acquired no slot.
    fn fail_refused_dial(&mut self, registry: &mut Registry<Self>, key: usize, error: DialError) {
        self.shard.dials.dials.remove(key);
        self.report_failed_dial(registry, key, error);
    }

    /// Ends a dial that has no connection.
    fn fail_dial(&mut self, registry: &mut Registry<Self>, key: usize, error: DialError) {
        if let DialStage::Connecting(connector) = self.shard.dials.dials.remove(key).stage {
            connector.cancel(registry);
        }
        self.shard.handoff.closed();
        self.report_failed_dial(registry, key, error);
    }

    /// Calls the service for a dial that has ended without a connection.
    pub(super) fn report_failed_dial(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        error: DialError,
    ) {
        self.shard.stats.dials_failed += 1;
        self.call_for_shard(registry, |host, shard| host.dial_failed(shard, key, error));
        self.shard.end_if_empty();
    }

    /// Ends all dials, because the drain timeout is over.
    pub(super) fn cut_dials(&mut self, registry: &mut Registry<Self>) {
        let keys: Vec<usize> = self.shard.dials.dials.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.shard.dials.dials.get(key).map(|dialing| &dialing.stage) {
                // Its connection is cut as all others are.
                Some(DialStage::Handshake(_)) | None => {}
                Some(_) if self.shard.dials.dials[key].is_refused() => {}
                Some(_) => self.fail_dial(registry, key, DialError::Draining),
            }
        }
    }
}

impl ConnectionMut<'_> {
    /// Calls the service for the connection of a dial, which is as any other from now on.
    pub(super) fn dialed(&mut self) -> bool {
        let key = self.key;
        let Some((dial, _)) = self.worker.shard.dials.end_of_connection(key) else { return false };
        let connected = self.call(|host, shard| host.connected(shard, key, dial));
        self.apply_or_fail(connected);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::net::TcpListener;

    use super::super::test_worker::{pair, worker_with};
    use super::*;
    use crate::base::LoopFlags;
    use crate::server::service::{Connection, Service};

    /// Dials an address for each client.
    #[derive(Clone)]
    struct Dialer(SocketAddr);

    impl Service for Dialer {
        type Session = ();
        type Message = ();

        fn open(&mut self, connection: &mut Connection<'_, Self>) {
            connection.shard().dial(Dial::address(self.0), ());
        }

        fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
            input.len()
        }
    }

    /// The second of two small messages waited until the peer had acknowledged the first.
    #[test]
    fn a_dialed_connection_sends_small_messages_without_delay() {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_client, socket) = pair();
        let (mut base, mut worker) = worker_with(Dialer(peer.local_addr().unwrap()), socket);
        while worker.shard.connections.len() < 2 {
            base.run_with(&mut worker, LoopFlags::ONCE).unwrap();
        }
        let mut connections = worker.shard.connections.iter().map(|(_, connection)| connection);
        let dialed = connections.find(|connection| connection.listener.is_none()).unwrap();
        assert!(dialed.transport.socket().tcp_nodelay().unwrap());
    }
}
