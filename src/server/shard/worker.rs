//! A worker: the context of one shard's event base, its thread, and its measurements.

use std::fmt;
use std::sync::Arc;

use core_affinity::CoreId;
use slab::Slab;

use super::ages::ConnectionAges;
use super::byte_rates::{ByteRates, TotalByteRate};
use super::connection::Connection;
use super::deadlines::ConnectionDeadlines;
use super::drain_spread::DrainSpread;
use super::service_calls::ServiceCalls;
use super::source_slots::SourceSlots;
use super::timings::Timings;
use super::tls::ShardTls;
use crate::base::log_interval::LogInterval;
use crate::base::{Config, DispatchLimit, EventBase, Registry};
use crate::error::Result;
use crate::server::accept::{Acceptor, HasAcceptor};
use crate::server::config::{ProxyProtocol, ServerConfig};
use crate::server::handoff::Handoff;
use crate::server::memory::{BufferLimits, MemoryLimit};
use crate::server::service::{Hosted, PeerAddress};
use crate::server::source_limit::SourceLimit;
use crate::server::stats::{AcceptorStats, ShardStats};
use crate::sys::clock::as_ns;
use crate::sys::rusage::thread_usage;

/// Callbacks before the worker looks at its handoff again, so that new connections wait a few
/// milliseconds at most. The remaining callbacks run in the next turn, before those that become due
/// then. A lower value costs more: each wait reports again which descriptors are ready.
const CALLBACKS_PER_TURN_MAX: u32 = 1024;

/// Size of the one read buffer of a shard, which no connection needs between calls. Large enough
/// for a window of loopback data, small enough for the second-level cache.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The context of a worker's base.
pub(in crate::server) struct Worker {
    core: Option<CoreId>,
    pub(super) handoff: Arc<Handoff>,
    /// The acceptor, in modes where workers accept.
    pub(in crate::server) acceptor: Option<Acceptor>,
    pub(super) calls: ServiceCalls,
    pub(super) connections: Slab<Connection>,
    pub(super) source_slots: SourceSlots,
    /// The read buffer.
    pub(super) buffer: Box<[u8]>,
    pub(super) deadlines: ConnectionDeadlines,
    /// With a maximum age, until the server drains.
    pub(super) ages: Option<Box<ConnectionAges>>,
    pub(super) proxy: ProxyProtocol,
    /// If the server has a certificate.
    pub(super) tls: Option<Box<ShardTls>>,
    pub(super) stats: ShardStats,
    pub(super) timings: Option<Box<Timings>>,
    pub(super) no_memory_log: LogInterval,
    /// Whether this turn adopted anything.
    pub(super) adopted: bool,
    /// Set while draining: the worker ends with its last connection.
    pub(super) draining: Option<DrainSpread>,
}

/// The limits that all workers share.
#[derive(Clone, Debug)]
pub(in crate::server) struct SharedLimits {
    pub(in crate::server) memory: Arc<MemoryLimit>,
    pub(in crate::server) sources: Option<Arc<SourceLimit>>,
    pub(in crate::server) byte_rate: Option<Arc<TotalByteRate>>,
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
    /// Creates a worker that adopts connections from `handoff` and serves them with `service`.
    /// `registry` is that of its base.
    pub(in crate::server) fn new(
        handoff: Arc<Handoff>,
        core: Option<CoreId>,
        service: Box<dyn Hosted>,
        shared: SharedLimits,
        config: &ServerConfig,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        let timings =
            config.measure.timings.then(|| Box::new(Timings::new(config.measure.slow_callback)));
        let ages = config.limits.age.map(|max| {
            let seed = handoff.shard() as u64;
            Box::new(ConnectionAges::new(max, config.drain.timeout, seed, registry))
        });
        let tls = config.tls.clone().map(|server| Box::new(ShardTls::new(server, registry)));
        let SharedLimits { memory, sources, byte_rate } = shared;
        let limits = BufferLimits { connection_bytes: config.limits.buffer_bytes, memory };
        let byte_rates = ByteRates::of(config, byte_rate);
        Ok(Self {
            core,
            handoff,
            acceptor: None,
            calls: ServiceCalls::new(service, limits, byte_rates),
            connections: Slab::new(),
            source_slots: SourceSlots::new(sources),
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            deadlines: ConnectionDeadlines::new(&config.limits, config.tls.as_ref(), registry)?,
            ages,
            proxy: config.proxy.clone(),
            tls,
            stats: ShardStats::default(),
            timings,
            no_memory_log: LogInterval::default(),
            adopted: false,
            draining: None,
        })
    }

    /// Changes the limits and the TLS of what begins from now on, how long a connection drains that
    /// reached its maximum age, and when a callback is slow.
    ///
    /// # Errors
    ///
    /// The base had too many durations of messages; nothing is changed then.
    pub(in crate::server) fn reconfigure(
        &mut self,
        registry: &mut Registry<Self>,
        config: &ServerConfig,
    ) -> Result<()> {
        // Without other TLS, that of the server stays, and with it the deadline of handshakes.
        let tls = config.tls.as_ref().or(self.tls.as_ref().map(|tls| &tls.server));
        self.deadlines = ConnectionDeadlines::new(&config.limits, tls, registry)?;
        if let (Some(tls), Some(server)) = (&mut self.tls, &config.tls) {
            tls.server = server.clone();
        }
        self.calls.limits.connection_bytes = config.limits.buffer_bytes;
        if let Some(ages) = &mut self.ages {
            ages.drain_timeout = config.drain.timeout;
        }
        if let Some(timings) = &mut self.timings {
            timings.slow_ns = as_ns(config.measure.slow_callback);
        }
        self.mark();
        Ok(())
    }

    /// Runs on the worker's thread to its end.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut worker: Self,
    ) -> Result<WorkerResults> {
        // However this ends, even by a panic, no acceptor may place connections here afterwards.
        let _adopting = worker.handoff.clone().adopting();
        // If the core went offline, the worker serves unpinned; the report has the actual core.
        let pinned = worker.core.filter(|core| core_affinity::set_for_current(*core));
        worker.stats.core = pinned.map(|core| core.id);
        base.run_until_exit(&mut worker)?;
        Ok(worker.results(base.registry()))
    }

    /// A copy of its counters, completed from the base, the kernel and the loads.
    pub(in crate::server) fn results(&self, registry: &Registry<Self>) -> WorkerResults {
        WorkerResults {
            shard: self.shard_stats(registry),
            acceptor: self.acceptor.as_ref().map(Acceptor::stats),
        }
    }

    fn shard_stats(&self, registry: &Registry<Self>) -> ShardStats {
        let turns = registry.stats();
        let load = self.handoff.load();
        let usage = thread_usage().unwrap_or_default();
        ShardStats {
            shard: self.handoff.shard(),
            answered: true,
            open: load.connections() as u64,
            queued: load.queued() as u64,
            queued_max: load.queued_max() as u64,
            waits: turns.waits,
            wait_errors: turns.wait_errors,
            events: turns.events,
            event_capacity: turns.event_capacity,
            changes: turns.changes,
            changes_coalesced: turns.changes_coalesced,
            changes_cancelled: turns.changes_cancelled,
            switches_involuntary: usage.switches_involuntary,
            cpu_ns: as_ns(usage.cpu),
            timings: self.timings.as_ref().map(|timings| timings.snapshot()).unwrap_or_default(),
            ..self.stats.clone()
        }
    }
}

/// Measuring.
impl Worker {
    /// Called right after each wait.
    pub(super) fn turn_began(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.turn_began();
        }
        let Some(timings) = &mut self.timings else { return };
        if let Some(share) = timings.turn_begins() {
            self.stats.busy = share;
            self.handoff.load().set_busy_permille((share * 1000.0) as u32);
        }
    }

    /// Called after work that is no callback of a connection.
    pub(in crate::server) fn mark(&mut self) {
        if let Some(timings) = &mut self.timings {
            timings.mark();
        }
    }

    /// Called after each callback of a connection.
    #[inline(always)]
    pub(super) fn callback_ended(&mut self, key: usize) {
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
            "a callback was slow and delayed its whole shard"
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
