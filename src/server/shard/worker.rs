//! A worker: the context of one shard's event base, and its thread.

use std::fmt;
use std::sync::Arc;

use core_affinity::CoreId;

use super::byte_rates::TotalByteRate;
use super::call::{Hosted, TakenMessages};
use super::end_together::EndTogether;
use super::shard_mut::ShardMut;
use super::shard_state::ShardState;
use crate::base::{Config, DispatchLimit, EventBase, Registry};
use crate::error::Result;
use crate::server::accept::{Acceptor, HasAcceptor};
use crate::server::config::ServerConfig;
use crate::server::handoff::Handoff;
use crate::server::memory::MemoryLimit;
use crate::server::source_limit::SourceLimit;
use crate::server::stats::{AcceptorStats, ShardStats};

/// Callbacks before the worker looks at its handoff again, so that new connections wait a few
/// milliseconds at most. The remaining callbacks run in the next turn, before those that become due
/// then. A lower value costs more: each wait reports again which descriptors are ready.
const CALLBACKS_PER_TURN_MAX: u32 = 1024;

/// Size of the one read buffer of a shard, which no connection needs between calls. Large enough
/// for a window of loopback data, small enough for the second-level cache.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Messages of other shards that a turn handles, so that connections do not wait for long.
const MESSAGES_PER_TURN_MAX: usize = 256;

/// The context of a worker's base.
pub(in crate::server) struct Worker {
    core: Option<CoreId>,
    /// The acceptor, in modes where workers accept.
    pub(in crate::server) acceptor: Option<Acceptor>,
    pub(super) host: Box<dyn Hosted>,
    /// The read buffer.
    pub(super) buffer: Box<[u8]>,
    pub(super) shard: ShardState,
}

/// What all workers share.
#[derive(Clone, Debug)]
pub(in crate::server) struct Shared {
    pub(in crate::server) memory: Arc<MemoryLimit>,
    pub(in crate::server) sources: Option<Arc<SourceLimit>>,
    pub(in crate::server) byte_rate: Option<Arc<TotalByteRate>>,
    pub(in crate::server) end: Arc<EndTogether>,
}

/// The counters of a worker.
#[derive(Debug)]
pub(in crate::server) struct WorkerResults {
    pub(in crate::server) shard: ShardStats,
    pub(in crate::server) acceptor: Option<AcceptorStats>,
}

/// The configuration of a worker's base, from that of the server.
pub(in crate::server) fn base_config(config: &ServerConfig) -> Config {
    let calls = Some(CALLBACKS_PER_TURN_MAX);
    config.base.dispatch_limit(DispatchLimit { calls, interval: None, from_priority: 0 })
}

impl Worker {
    /// Creates a worker that adopts connections from `handoff` and serves them with the service of
    /// `host`. `registry` is that of its base.
    pub(in crate::server) fn new(
        handoff: Arc<Handoff>,
        core: Option<CoreId>,
        host: Box<dyn Hosted>,
        shared: Shared,
        config: &ServerConfig,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        Ok(Self {
            core,
            acceptor: None,
            host,
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            shard: ShardState::new(handoff, shared, config, registry)?,
        })
    }

    /// Runs on the worker's thread to its end.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut worker: Self,
    ) -> Result<WorkerResults> {
        // However this ends, even by a panic, no acceptor may place connections here afterwards.
        let _adopting = worker.shard.handoff.clone().adopting();
        // If the core went offline, the worker serves unpinned; the report has the actual core.
        let pinned = worker.core.filter(|core| core_affinity::set_for_current(*core));
        worker.shard.stats.core = pinned.map(|core| core.id);
        worker.call_for_shard(base.registry(), |host, shard| host.start(shard));
        base.run_until_exit(&mut worker)?;
        // All dials are refused by now. Those of each step are reported after it. A service may
        // dial again then, but not for ever: what is left at the end has no result.
        worker.start_dials(base.registry());
        // What other shards posted before they ended.
        worker.take_last_messages(base.registry());
        worker.start_dials(base.registry());
        worker.call_for_shard(base.registry(), |host, shard| host.stop(shard));
        worker.start_dials(base.registry());
        Ok(worker.results(base.registry()))
    }

    /// Calls the service for none of its connections.
    pub(super) fn call_for_shard(
        &mut self,
        registry: &mut Registry<Self>,
        call: impl FnOnce(&mut dyn Hosted, ShardMut<'_>) -> Option<()>,
    ) {
        self.shard.call.begin_for_shard();
        let shard = ShardMut { state: &mut self.shard, registry };
        if call(&mut *self.host, shard).is_none() {
            self.shard.stats.errors.panicked += 1;
        }
    }

    /// Ends its loop if all shards have ended.
    pub(super) fn end_if_all_have(&mut self, registry: &mut Registry<Self>) {
        if self.shard.draining.is_some() && self.shard.serving.all_have_ended() {
            registry.loop_exit();
        }
    }

    /// Passes messages of other shards to the service, at most some; returns how many.
    pub(super) fn take_messages(&mut self, registry: &mut Registry<Self>) -> u64 {
        self.shard.call.begin_for_shard();
        let shard = ShardMut { state: &mut self.shard, registry };
        let taken = self.host.take_messages(shard, MESSAGES_PER_TURN_MAX);
        self.count_messages(taken)
    }

    /// Passes what other shards posted before all have ended.
    fn take_last_messages(&mut self, registry: &mut Registry<Self>) {
        self.shard.call.begin_for_shard();
        let shard = ShardMut { state: &mut self.shard, registry };
        let taken = self.host.take_last_messages(shard);
        self.count_messages(taken);
    }

    fn count_messages(&mut self, taken: TakenMessages) -> u64 {
        self.shard.stats.messages += taken.messages;
        self.shard.stats.errors.panicked += taken.panics;
        taken.messages
    }

    /// Changes what can change while the server serves.
    ///
    /// # Errors
    ///
    /// As [`ShardState::reconfigure`].
    pub(in crate::server) fn reconfigure(
        &mut self,
        registry: &mut Registry<Self>,
        config: &ServerConfig,
    ) -> Result<()> {
        self.shard.reconfigure(registry, config)
    }

    /// A copy of its counters, completed from the base, the kernel and the loads.
    pub(in crate::server) fn results(&self, registry: &Registry<Self>) -> WorkerResults {
        let messages_refused = self.host.messages_refused();
        WorkerResults {
            shard: ShardStats { messages_refused, ..self.shard.stats(registry) },
            acceptor: self.acceptor.as_ref().map(Acceptor::stats),
        }
    }

    /// Called after work that is no callback of a connection.
    pub(in crate::server) fn mark(&mut self) {
        self.shard.mark();
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
        f.debug_struct("Worker").field("shard", &self.shard.handoff.shard()).finish_non_exhaustive()
    }
}
