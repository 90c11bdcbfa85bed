//! Adoption: a worker takes accepted connections from its handoff, and starts them.

use super::connection_io::on_readable;
use super::connection_state::{ConnectionState, Stage};
use super::tls::on_tls_readable;
use super::worker::Worker;
use crate::base::Registry;
use crate::error::Result;
use crate::event::{EventSpec, Fired, Token};
use crate::server::config::ProxyMode;
use crate::server::handoff::accepted_connection::AcceptedConnection;
use crate::transport::Transport;

/// Adoptions per turn, so that open connections do not wait for new ones.
const ADOPTIONS_PER_TURN_MAX: usize = 64;

/// Makes a worker adopt connections, from its next turn on.
pub(in crate::server) fn start(registry: &mut Registry<Worker>) -> Result<()> {
    registry.watch_check(on_turn);
    let notified = registry.create(EventSpec::notify(), on_notified);
    registry.add(notified, None)
}

/// Runs after each wait, before the reported events: adopts a bounded number of new connections
/// first.
fn on_turn(registry: &mut Registry<Worker>, worker: &mut Worker) {
    worker.shard.turn_began();
    worker.free_memory_if_needed(registry);
    worker.shard.adopted = false;
    worker.adopt_waiting(registry, ADOPTIONS_PER_TURN_MAX);
    if worker.shard.adopted {
        worker.mark();
    }
}

/// Handles a notification. `on_turn` has already adopted what an acceptor handed over.
fn on_notified(registry: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    let taken = worker.take_messages(registry) + worker.take_commands(registry);
    let is_spurious = !worker.shard.adopted && taken == 0;
    worker.shard.stats.wakes_spurious += u64::from(is_spurious);
    worker.end_if_all_have(registry);
    if taken > 0 {
        worker.mark();
    }
}

impl Worker {
    /// Adopts at most `limit` waiting connections.
    pub(super) fn adopt_waiting(&mut self, registry: &mut Registry<Self>, limit: usize) {
        if self.shard.handoff.is_empty() {
            return;
        }
        let handoff = self.shard.handoff.clone();
        handoff.take(limit, |connection| self.adopt(registry, connection));
    }

    fn adopt(&mut self, registry: &mut Registry<Self>, accepted: AcceptedConnection) {
        self.shard.adopted = true;
        self.shard.stats.connections += 1;
        let expects_header = self.shard.proxy.mode != ProxyMode::Off;
        let stage = if expects_header { Stage::ProxyHeader } else { Stage::Reading };
        let transport = Transport::new(accepted.socket);
        let key = self.add_connection(registry, transport, accepted.tls, stage);
        let connection = &mut self.shard.connections[key];
        connection.listener = Some(accepted.listener);
        connection.expects_tls = accepted.tls;
        if let Some(slot) = accepted.source {
            self.shard.source_slots.hold(key, slot);
        }
        if let (Some(timings), Some(accepted_at)) = (&mut self.shard.timings, accepted.accepted_at)
        {
            timings.adopted(accepted_at);
        }
        self.connection(registry, key).begin();
    }

    /// Adds a connection in this stage, whose byte rates and age begin; returns its key.
    pub(super) fn add_connection(
        &mut self,
        registry: &mut Registry<Self>,
        transport: Transport,
        has_tls: bool,
        stage: Stage,
    ) -> usize {
        let entry = self.shard.connections.vacant_entry();
        let key = entry.key();
        let spec = EventSpec::io(&transport, transport.read_waits_for()).persist();
        let handler = if has_tls { on_tls_readable } else { on_readable };
        let readable = registry.create(spec.token(Token(key as u64)), handler);
        entry.insert(ConnectionState::new(transport, readable, stage));
        if let Some(rates) = &mut self.shard.byte_rates {
            rates.begin(key);
        }
        if let Some(ages) = &mut self.shard.ages {
            ages.begin(registry, key);
        }
        key
    }
}
