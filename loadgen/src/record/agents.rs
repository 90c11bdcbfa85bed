//! The agents of a run: what each has done, and how its clock differed.

use serde::{Deserialize, Serialize};

use super::Counters;
use crate::environment::Sharing;

/// One agent in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    /// Its number, from 0. It drives the connections whose number, divided by the number of agents,
    /// leaves its rank.
    pub(crate) rank: u32,
    /// The name by which the coordinator knows it.
    pub(crate) name: String,
    /// Name of its machine.
    pub(crate) host: String,
    /// The kernel's number of this boot of the machine: agents that have the same share it.
    pub(crate) boot_id: String,
    /// Version of its program.
    pub(crate) version: String,
    /// "debug" or "release".
    pub(crate) profile: String,
    /// Processors that it may use.
    pub(crate) cpus: Option<usize>,
    /// Whether it shares processors with the server, if known.
    pub(crate) sharing: Option<Sharing>,
    /// How it waited for the next request's time.
    pub(crate) pacing: String,
    pub(crate) connections: u32,
    pub(crate) threads: usize,
    /// Its monotonic clock minus that of the coordinator, in nanoseconds; nothing if it was not
    /// measured.
    pub(crate) clock_offset_ns: Option<i64>,
    /// The offset is wrong by so much at most: half of the shortest round trip.
    pub(crate) clock_error_ns: Option<u64>,
    /// By how much the offset had changed after the load.
    pub(crate) clock_drift_ns: Option<i64>,
    /// How late its threads began, the last of them.
    pub(crate) start_late_ns: Option<u64>,
    /// Processor time stolen by the hypervisor during the run, as a share of all processors' time.
    pub(crate) steal_share: Option<f64>,
    pub(crate) counters: Counters,
    /// Measured requests, and percentiles of the headline latency: response in an open loop,
    /// service in a closed one. Requests without a reply are not in them.
    pub(crate) measured: u64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    /// The median service time.
    pub(crate) service_p50_ns: Option<u64>,
    /// The p99 of its own lateness; open loop only.
    pub(crate) loader_late_p99_ns: Option<u64>,
    /// Why it was lost before the end of the run; nothing if it was not.
    pub(crate) lost: Option<String>,
}

impl AgentRecord {
    /// How much its clock, and its start, may differ from the plan.
    pub(crate) fn skew_ns(&self) -> u64 {
        let drift_ns = self.clock_drift_ns.map_or(0, i64::unsigned_abs);
        let late_ns = self.start_late_ns.unwrap_or(0);
        self.clock_error_ns.unwrap_or(0).saturating_add(drift_ns).saturating_add(late_ns)
    }
}
