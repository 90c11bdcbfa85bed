//! The shards as acceptors see them, and the assignment of listen sockets to acceptors.

use std::sync::Arc;

use super::accept_rate::AcceptRate;
use super::acceptor::{Acceptor, HasAcceptor};
use super::listen_socket::ListenSocket;
use super::shard_queues::ShardQueues;
use crate::base::{Notifier, Registry};
use crate::error::Result;
use crate::server::config::{AcceptMode, ServerConfig};
use crate::server::connection_limit::ConnectionLimit;
use crate::server::handoff::Handoff;
use crate::server::listener::Listener;
use crate::server::memory::MemoryLimit;
use crate::server::placement::load::{self, Loads};
use crate::server::placement::{LocalShard, Placer};
use crate::server::source_limit::SourceLimit;

/// Accepts per turn of the acceptor thread. Bounds how long the first connection of a storm waits
/// for its worker to wake.
const BATCH_MAX_ALONE: usize = 64;

/// Accepts per turn of a worker, so that its open connections do not wait for new ones.
const BATCH_MAX_SHARED: usize = 4;

/// What all acceptors of a server share.
#[derive(Debug)]
pub(in crate::server) struct Shards {
    /// The queue of each shard.
    pub(in crate::server) handoffs: Vec<Arc<Handoff>>,
    /// The load of each shard.
    pub(in crate::server) loads: Loads,
    /// Shared by all acceptors and workers.
    pub(in crate::server) connection_limit: Arc<ConnectionLimit>,
    /// Shared by all acceptors and workers.
    pub(in crate::server) memory: Arc<MemoryLimit>,
    /// Shared by all acceptors and workers.
    pub(in crate::server) sources: Option<Arc<SourceLimit>>,
    /// Shared by all acceptors.
    pub(super) accept_rate: Option<Arc<AcceptRate>>,
    /// The core each is pinned to.
    cores: Vec<Option<usize>>,
}

impl Shards {
    /// Creates the queues of a server with this configuration. `to_workers` wakes the base of each
    /// worker, `to_acceptors` the base of each acceptor. `cores` has the core of each worker.
    pub(in crate::server) fn new(
        config: &ServerConfig,
        to_workers: Vec<Notifier>,
        to_acceptors: Vec<Notifier>,
        cores: Vec<Option<usize>>,
    ) -> Self {
        let connection_limit = Arc::new(ConnectionLimit::new(config.connections_max, to_acceptors));
        let loads = load::loads(to_workers.len());
        let memory = Arc::new(MemoryLimit::new(config.memory_limit, to_workers.clone()));
        let handoff = |(shard, to_worker)| {
            let capacity = config.handoff_capacity.get();
            Arc::new(Handoff::new(
                capacity,
                to_worker,
                shard,
                loads.clone(),
                connection_limit.clone(),
            ))
        };
        let handoffs = to_workers.into_iter().enumerate().map(handoff).collect();
        let sources = SourceLimit::of(config);
        let accept_rate = config.accept_rate.map(|rate| Arc::new(AcceptRate::new(rate)));
        Self { handoffs, loads, connection_limit, memory, sources, accept_rate, cores }
    }

    /// Creates the acceptor with the index `acceptor`.
    pub(in crate::server) fn acceptor<C: HasAcceptor>(
        &self,
        acceptor: usize,
        listen_sockets: Vec<ListenSocket>,
        config: &ServerConfig,
        registry: &mut Registry<C>,
    ) -> Result<Acceptor> {
        let (local_shard, batch_max) = match config.accept {
            AcceptMode::Acceptor => (LocalShard::None, BATCH_MAX_ALONE),
            AcceptMode::AcceptorInShard0 => (LocalShard::None, BATCH_MAX_SHARED),
            AcceptMode::ReusePort => (LocalShard::Always(acceptor), BATCH_MAX_SHARED),
            AcceptMode::Hybrid => (LocalShard::UnlessSkewed(acceptor), BATCH_MAX_SHARED),
        };
        let placer = Placer::new(config.placement, local_shard, &self.cores, acceptor as u64);
        let queues = ShardQueues::new(&self.handoffs, self.loads.clone(), placer);
        Acceptor::new(listen_sockets, batch_max, queues, self, config, registry)
    }
}

/// Returns the listen sockets of each acceptor. If a listener has one for each acceptor, each gets
/// its own; otherwise they are dealt out in turn.
pub(in crate::server) fn distribute(
    listeners: Vec<Listener>,
    acceptors: usize,
) -> Vec<Vec<ListenSocket>> {
    let mut listen_sockets: Vec<Vec<ListenSocket>> = (0..acceptors).map(|_| Vec::new()).collect();
    for (number, listener) in (0..).zip(listeners) {
        let is_local = listener.sockets.len() == acceptors;
        for (place, socket) in listener.sockets.into_iter().enumerate() {
            let acceptor = if is_local { place } else { (usize::from(number) + place) % acceptors };
            let Listener { tls, origin, .. } = listener;
            let listen_socket =
                ListenSocket { socket, listener: number, tls, origin, is_local, is_shut: false };
            listen_sockets[acceptor].push(listen_socket);
        }
    }
    listen_sockets
}
