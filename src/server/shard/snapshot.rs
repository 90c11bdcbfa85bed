//! The counters of a shard, copied on its thread.

use super::worker::Worker;
use crate::base::Registry;
use crate::server::stats::ShardStats;
use crate::sys::rusage::thread_usage;

impl Worker {
    /// A copy of the counters, completed from the base, the kernel and the loads.
    pub(super) fn snapshot(&self, registry: &Registry<Self>) -> ShardStats {
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
            events: turns.events,
            event_capacity: turns.event_capacity,
            changes: turns.changes,
            changes_coalesced: turns.changes_coalesced,
            changes_cancelled: turns.changes_cancelled,
            switches_involuntary: usage.switches_involuntary,
            cpu_ns: u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX),
            timings: self.timings.as_ref().map(|timings| timings.snapshot()).unwrap_or_default(),
            ..self.stats.clone()
        }
    }
}
