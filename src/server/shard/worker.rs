//! A worker: the context of one shard's event base, and its thread.
//!
//! It adopts sockets from its handoff and owns their connections to the end. What happens on them
//! is in `connection_io.rs`, how they end in `close.rs`.

use std::fmt;
use std::sync::Arc;

use core_affinity::CoreId;
use slab::Slab;
use socket2::Socket;

use super::super::ServerConfig;
use super::super::accept::{Acceptor, HasAcceptor};
use super::super::config::{Limits, ProxyMode, ProxyProtocol};
use super::super::handoff::Handoff;
use super::super::handoff::accepted_connection::AcceptedConnection;
use super::super::service::{Hosted, PeerAddress};
use super::super::stats::{AcceptorStats, ShardStats};
use super::connection::{Connection, Stage};
use super::deadlines::Deadlines;
use super::drain_spread::DrainSpread;
use super::timings::Timings;
use crate::base::{Config, DispatchLimit, EventBase, Registry};
use crate::error::Result;
use crate::event::{EventSpec, Fired, Interest, Ready, Token};

/// Adoptions per turn: new connections must not keep open ones waiting.
const ADOPTIONS_PER_TURN_MAX: usize = 64;

/// Callbacks before the worker looks at its handoff again: open connections must not keep new ones
/// waiting either, not longer than some milliseconds. What is due still runs in the next turn,
/// before what becomes due then. Fewer would cost more: each look reports anew who is still due.
const CALLBACKS_PER_TURN_MAX: u32 = 1024;

/// Bytes read at once, into one buffer for all connections of the shard: between calls nobody needs
/// it. Large enough for a window of loopback data, small enough for the second-level cache.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The context of a worker's base.
pub(in crate::server) struct Worker {
    core: Option<CoreId>,
    pub(super) handoff: Arc<Handoff>,
    /// The accepting half, where workers accept.
    pub(in crate::server) acceptor: Option<Acceptor>,
    pub(super) service: Box<dyn Hosted>,
    pub(super) connections: Slab<Connection>,
    pub(super) buffer: Box<[u8]>,
    /// What a service sends in small pieces during a call.
    pub(super) gathered: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) deadlines: Deadlines,
    pub(super) proxy: ProxyProtocol,
    pub(super) stats: ShardStats,
    pub(super) timings: Option<Box<Timings>>,
    /// Whether this turn adopted anything.
    adopted: bool,
    /// Set by the drain: the worker ends with its last connection.
    pub(super) draining: Option<DrainSpread>,
}

/// What a worker leaves.
#[derive(Debug)]
pub(in crate::server) struct WorkerResults {
    pub(in crate::server) shard: ShardStats,
    pub(in crate::server) acceptor: Option<AcceptorStats>,
}

/// How a worker's base is set up, made of what the server's user asked for.
pub(in crate::server) fn base_config(config: &ServerConfig) -> Config {
    let calls = Some(CALLBACKS_PER_TURN_MAX);
    config.base.dispatch_limit(DispatchLimit { calls, interval: None, from_priority: 0 })
}

impl Worker {
    /// A worker that gets its connections from `handoff` and has `service` answer them;
    /// `registry` is that of its base.
    pub(in crate::server) fn new(
        handoff: Arc<Handoff>,
        core: Option<CoreId>,
        service: Box<dyn Hosted>,
        config: &ServerConfig,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        registry.watch_check(on_turn);
        let notified = registry.create(EventSpec::notify(), on_notified);
        registry.add(notified, None)?;
        let timings =
            config.measure.timings.then(|| Box::new(Timings::new(config.measure.slow_callback)));
        Ok(Self {
            core,
            handoff,
            acceptor: None,
            service,
            connections: Slab::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            gathered: Vec::new(),
            limits: config.limits,
            deadlines: Deadlines::new(&config.limits, registry)?,
            proxy: config.proxy.clone(),
            stats: ShardStats::default(),
            timings,
            adopted: false,
            draining: None,
        })
    }

    /// The worker's thread.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut worker: Self,
    ) -> Result<WorkerResults> {
        // However this ends, by a panic too, no acceptor must count on it any longer.
        let _adopting = worker.handoff.clone().adopting();
        // A core that went offline since is no reason not to serve: the report says where we ran.
        let pinned = worker.core.filter(|core| core_affinity::set_for_current(*core));
        worker.stats.core = pinned.map(|core| core.id);
        base.run_until_exit(&mut worker)?;
        Ok(worker.results(base.registry()))
    }

    /// What it leaves, were it to end now.
    pub(in crate::server) fn results(&self, registry: &Registry<Self>) -> WorkerResults {
        WorkerResults {
            shard: self.snapshot(registry),
            acceptor: self.acceptor.as_ref().map(Acceptor::stats),
        }
    }

    /// Adopts what was handed over, at most `limit` connections.
    pub(super) fn adopt_waiting(&mut self, registry: &mut Registry<Self>, limit: usize) {
        if self.handoff.is_empty() {
            return;
        }
        let handoff = self.handoff.clone();
        handoff.take(limit, |connection| self.adopt(registry, connection));
    }

    fn adopt(&mut self, registry: &mut Registry<Self>, connection: AcceptedConnection) {
        self.adopted = true;
        self.stats.connections += 1;
        let socket = Socket::from(connection.socket);
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let readable = EventSpec::io(&socket, Interest::READ).persist().token(Token(key as u64));
        let readable = registry.create(readable, on_readable);
        let expects_header = self.proxy.mode != ProxyMode::Off;
        let stage = if expects_header { Stage::ProxyHeader } else { Stage::Reading };
        entry.insert(Connection::new(socket, readable, connection.listener, stage));
        if let (Some(timings), Some(accepted_at)) = (&mut self.timings, connection.accepted_at) {
            timings.adopted(accepted_at);
        }
        self.begin(registry, key);
    }

    /// All connections, in a list of its own: whoever walks it may close them.
    pub(super) fn connection_keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }
}

/// Measuring.
impl Worker {
    /// Right after each wait.
    fn after_wait(&mut self) {
        let Some(timings) = &mut self.timings else { return };
        if let Some(share) = timings.turn_begins() {
            self.stats.busy = share;
            self.handoff.load().set_busy_permille((share * 1000.0) as u32);
        }
    }

    /// After anything that is no callback of a connection.
    pub(in crate::server) fn mark(&mut self) {
        if let Some(timings) = &mut self.timings {
            timings.mark();
        }
    }

    /// Runs the callback of a connection's event, and measures it.
    #[inline]
    fn timed(
        &mut self,
        registry: &mut Registry<Self>,
        fired: Fired,
        callback: impl FnOnce(&mut Self, &mut Registry<Self>, usize, Ready),
    ) {
        let key = fired.token.0 as usize;
        callback(self, registry, key, fired.ready);
        let Some(timings) = &mut self.timings else { return };
        let took_ns = timings.callback_ends();
        if took_ns >= timings.slow_ns {
            self.was_slow(key, took_ns);
        }
    }

    #[cold]
    fn was_slow(&mut self, key: usize, took_ns: u64) {
        self.stats.slow_callbacks += 1;
        let Some(suppressed) = self.timings.as_mut().and_then(|timings| timings.next_slow_log())
        else {
            return;
        };
        let peer = self
            .connections
            .get(key)
            .map_or(PeerAddress::Unknown, |connection| connection.peer().address());
        log::warn!(
            target: "shard",
            shard = self.handoff.shard(), peer:%, took_us = took_ns / 1000, suppressed;
            "a callback was slow, and everybody on its shard waited"
        );
    }
}

impl HasAcceptor for Worker {
    fn acceptor(&mut self) -> Option<&mut Acceptor> {
        self.acceptor.as_mut()
    }

    fn acceptor_ran(worker: &mut Self) {
        worker.mark();
    }

    /// A worker goes on serving.
    fn acceptor_is_done(_registry: &mut Registry<Self>, _worker: &mut Self) {}
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("shard", &self.handoff.shard()).finish_non_exhaustive()
    }
}

/// After each wait, before what it reported: new connections come first, a bounded number of them.
fn on_turn(registry: &mut Registry<Worker>, worker: &mut Worker) {
    worker.after_wait();
    worker.adopted = false;
    worker.adopt_waiting(registry, ADOPTIONS_PER_TURN_MAX);
    if worker.adopted {
        worker.mark();
    }
}

/// Somebody notified the base; who had something to hand over was seen by `on_turn`.
fn on_notified(_: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    worker.stats.wakes_spurious += u64::from(!worker.adopted);
}

/// The events of connections; a token is a connection's key.
fn on_readable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    worker.timed(registry, fired, Worker::readable);
}

pub(super) fn on_writable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    worker.timed(registry, fired, Worker::writable);
}

pub(super) fn on_timer(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    worker.timed(registry, fired, Worker::timer_ended);
}
