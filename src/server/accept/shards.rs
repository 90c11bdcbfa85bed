//! The shards as gates see them, and which gate gets which listening sockets.

use std::sync::Arc;

use super::super::config::{AcceptMode, ServerConfig};
use super::super::connection_limit::Census;
use super::super::handoff::Handoff;
use super::super::listener::Listener;
use super::super::placement::load::{self, Loads};
use super::super::placement::{Home, Placer};
use super::acceptor::{Accepts, Gate};
use super::listen_socket::Entrance;
use super::shard_queues::Links;
use crate::base::{Notifier, Registry};
use crate::error::Result;

/// Accepts per turn of a thread that does nothing else. Bounds how long the first connection of
/// a storm waits for its worker to be woken.
const BATCH_MAX_ALONE: usize = 64;

/// Accepts per turn of a thread that also serves: those it has already must not wait for them.
const BATCH_MAX_SHARED: usize = 4;

/// What all gates of a server share.
#[derive(Debug)]
pub(in crate::server) struct Shards {
    /// The queue of each shard.
    pub(in crate::server) handoffs: Vec<Arc<Handoff>>,
    /// What each has at hand.
    pub(in crate::server) loads: Loads,
    /// How many connections there are.
    pub(super) census: Arc<Census>,
    /// The core each is pinned to.
    cores: Vec<Option<usize>>,
}

impl Shards {
    /// Of a server that is configured so. `to_workers` wakes the base of each worker, `to_gates`
    /// the base of each gate; `cores` is where each worker runs.
    pub(in crate::server) fn new(
        config: &ServerConfig,
        to_workers: Vec<Notifier>,
        to_gates: Vec<Notifier>,
        cores: Vec<Option<usize>>,
    ) -> Self {
        let census = Arc::new(Census::new(config.connections_max, to_gates));
        let loads = load::loads(to_workers.len());
        let handoff = |(shard, to_worker)| {
            let places = config.handoff_places.get();
            Arc::new(Handoff::new(places, to_worker, shard, loads.clone(), census.clone()))
        };
        let handoffs = to_workers.into_iter().enumerate().map(handoff).collect();
        Self { handoffs, loads, census, cores }
    }

    /// The gate number `gate` of a server that is configured so.
    pub(in crate::server) fn gate<C: Accepts>(
        &self,
        gate: usize,
        entrances: Vec<Entrance>,
        config: &ServerConfig,
        registry: &mut Registry<C>,
    ) -> Result<Gate> {
        let (home, batch_max) = match config.accept {
            AcceptMode::Acceptor => (Home::None, BATCH_MAX_ALONE),
            AcceptMode::AcceptorInShard0 => (Home::None, BATCH_MAX_SHARED),
            AcceptMode::ReusePort => (Home::Always(gate), BATCH_MAX_SHARED),
            AcceptMode::Hybrid => (Home::UnlessSkewed(gate), BATCH_MAX_SHARED),
        };
        let placer = Placer::new(config.placement, home, &self.cores, gate as u64);
        let links = Links::new(&self.handoffs, self.loads.clone(), placer);
        Gate::new(entrances, batch_max, links, self.census.clone(), config, registry)
    }
}

/// The sockets of each gate: one of a listener that has one for each, else they are dealt out in
/// turn.
pub(in crate::server) fn distribute(listeners: Vec<Listener>, gates: usize) -> Vec<Vec<Entrance>> {
    let mut entrances: Vec<Vec<Entrance>> = (0..gates).map(|_| Vec::new()).collect();
    for (number, listener) in (0..).zip(listeners) {
        let at_home = listener.sockets.len() == gates;
        for (place, socket) in listener.sockets.into_iter().enumerate() {
            let gate = if at_home { place } else { (usize::from(number) + place) % gates };
            let origin = listener.origin;
            let entrance = Entrance { socket, listener: number, origin, at_home, is_shut: false };
            entrances[gate].push(entrance);
        }
    }
    entrances
}
