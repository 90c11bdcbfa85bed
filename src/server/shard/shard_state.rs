//! The state of a shard: its connections, limits and counters, and not its service.

use std::fmt;
use std::sync::Arc;

use slab::Slab;

use super::after_callbacks::AfterCallbacks;
use super::ages::ConnectionAges;
use super::byte_rates::ByteRates;
use super::call::Call;
use super::connection_state::ConnectionState;
use super::deadlines::ConnectionDeadlines;
use super::dialing::Dials;
use super::drain_spread::DrainSpread;
use super::end_together::ServingShard;
use super::handles::Handles;
use super::service_timers::ServiceTimers;
use super::shard_mut::ShardMut;
use super::shard_numbers::ShardNumbers;
use super::source_slots::SourceSlots;
use super::timings::Timings;
use super::tls::ShardTls;
use super::worker::{Shared, Worker};
use crate::base::Registry;
use crate::base::log_interval::LogInterval;
use crate::error::Result;
use crate::event::EventId;
use crate::server::config::{ProxyProtocol, ServerConfig};
use crate::server::handoff::Handoff;
use crate::server::memory::BufferLimits;
use crate::server::peer_address::PeerAddress;
use crate::server::stats::ShardStats;
use crate::sys::clock::as_ns;
use crate::sys::rusage::thread_usage;

/// See the module's documentation.
pub(in crate::server) struct ShardState {
    pub(super) handoff: Arc<Handoff>,
    pub(super) connections: Slab<ConnectionState>,
    /// The callback that runs.
    pub(super) call: Call,
    pub(super) after_callbacks: AfterCallbacks,
    pub(super) timers: ServiceTimers,
    pub(super) handles: Handles,
    pub(super) dials: Dials,
    /// The event of the background job, once there was one.
    pub(super) background: Option<EventId>,
    pub(super) limits: BufferLimits,
    /// For bytes that handles accepted: the limit of the connection applied to them before.
    pub(super) limits_of_accepted: BufferLimits,
    pub(super) byte_rates: Option<Box<ByteRates>>,
    pub(super) source_slots: SourceSlots,
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
    /// Set while draining.
    pub(super) draining: Option<DrainSpread>,
    /// Whether the drain timeout is over.
    pub(super) drain_is_over: bool,
    pub(super) serving: ServingShard,
}

impl ShardState {
    pub(super) fn new(
        handoff: Arc<Handoff>,
        shared: Shared,
        config: &ServerConfig,
        registry: &mut Registry<Worker>,
    ) -> Result<Self> {
        let timings =
            config.measure.timings.then(|| Box::new(Timings::new(config.measure.slow_callback)));
        let ages = config.limits.age.map(|max| {
            let seed = handoff.shard() as u64;
            Box::new(ConnectionAges::new(max, config.drain.timeout, seed, registry))
        });
        let tls = config.tls.clone().map(|server| Box::new(ShardTls::new(Some(server), registry)));
        let Shared { memory, sources, byte_rate, end } = shared;
        let numbers = || ShardNumbers::new(handoff.shard(), handoff.shards());
        Ok(Self {
            connections: Slab::new(),
            call: Call::none(),
            after_callbacks: AfterCallbacks::new(registry),
            timers: ServiceTimers::new(numbers()),
            dials: Dials::new(numbers()),
            background: None,
            handles: Handles::new(registry.notifier(), memory.clone()),
            limits_of_accepted: BufferLimits {
                connection_bytes: usize::MAX,
                memory: memory.clone(),
            },
            limits: BufferLimits { connection_bytes: config.limits.buffer_bytes, memory },
            byte_rates: ByteRates::of(config, byte_rate),
            source_slots: SourceSlots::new(sources),
            deadlines: ConnectionDeadlines::new(&config.limits, config.tls.as_ref(), registry)?,
            ages,
            proxy: config.proxy.clone(),
            tls,
            stats: ShardStats::default(),
            timings,
            no_memory_log: LogInterval::default(),
            adopted: false,
            draining: None,
            drain_is_over: false,
            serving: ServingShard::new(end),
            handoff,
        })
    }

    /// This, for what may be done during a callback.
    pub(super) fn during<'a>(&'a mut self, registry: &'a mut Registry<Worker>) -> ShardMut<'a> {
        ShardMut { state: self, registry }
    }

    /// Called when connections or dials have ended: ends its part of a drain after the last.
    pub(super) fn end_if_empty(&mut self) {
        if self.draining.is_some() && self.connections.is_empty() && self.dials.hold_no_slot() {
            self.serving.ends();
        }
    }

    /// Whether a connection drains: with its server, or because of its age.
    pub(super) fn drains(&self, key: usize) -> bool {
        self.draining.is_some() || self.ages.as_ref().is_some_and(|ages| ages.is_draining(key))
    }

    /// Changes the limits and the TLS of what begins from now on, how long a connection drains that
    /// reached its maximum age, and when a callback is slow.
    ///
    /// # Errors
    ///
    /// The base had too many durations of messages; nothing is changed then.
    pub(super) fn reconfigure(
        &mut self,
        registry: &mut Registry<Worker>,
        config: &ServerConfig,
    ) -> Result<()> {
        // Without other TLS, that of the server stays, and with it the deadline of handshakes.
        let tls = config.tls.as_ref().or(self.tls.as_ref().and_then(|tls| tls.server.as_ref()));
        self.deadlines = ConnectionDeadlines::new(&config.limits, tls, registry)?;
        if let (Some(tls), Some(server)) = (&mut self.tls, &config.tls) {
            tls.server = Some(server.clone());
        }
        self.limits.connection_bytes = config.limits.buffer_bytes;
        if let Some(ages) = &mut self.ages {
            ages.drain_timeout = config.drain.timeout;
        }
        if let Some(timings) = &mut self.timings {
            timings.slow_ns = as_ns(config.measure.slow_callback);
        }
        self.mark();
        Ok(())
    }

    /// A copy of the counters, completed from the base, the kernel and the loads.
    pub(super) fn stats(&self, registry: &Registry<Worker>) -> ShardStats {
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
impl ShardState {
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
    pub(super) fn mark(&mut self) {
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
        let peer =
            self.connections.get(key).map_or(PeerAddress::Unknown, ConnectionState::peer_address);
        log::warn!(
            target: "shard",
            shard = self.handoff.shard(), peer:%, took_us = took_ns / 1000, suppressed;
            "a callback was slow and delayed its whole shard"
        );
    }
}

impl fmt::Debug for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardState").field("shard", &self.handoff.shard()).finish_non_exhaustive()
    }
}
