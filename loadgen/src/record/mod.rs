//! The machine-readable record of one run: the contract with scripts.
//!
//! It holds numbers only; how they are shown is the report's business.

use serde::Serialize;

use crate::clock::seconds;
use crate::engine::recorder::{Counters, Mismatch};
use crate::engine::worker::Finished;
use crate::environment::Environment;
use crate::latency::{Latency, P50, P90, P99, P999, P9999};
use crate::options::Options;

/// Name and version of the format. A change that breaks a reader raises the number.
pub(crate) const SCHEMA: &str = "loadgen/1";

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunRecord {
    /// Always [`SCHEMA`].
    pub(crate) schema: &'static str,
    /// What was asked for.
    pub(crate) args: ArgsRecord,
    /// Where and when.
    pub(crate) env: Environment,
    /// How fast.
    pub(crate) rate: RateRecord,
    /// How long, in nanoseconds.
    pub(crate) latency_ns: LatenciesRecord,
    /// How many.
    pub(crate) counters: Counters,
    /// The loader's own threads.
    pub(crate) threads: Vec<ThreadRecord>,
    /// The first wrong byte.
    pub(crate) first_mismatch: Option<Mismatch>,
    /// Whether a signal ended the run; the numbers then describe the part that took place.
    pub(crate) interrupted: bool,
}

/// The plan of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ArgsRecord {
    /// The server, as given.
    pub(crate) target: String,
    /// Connections asked for.
    pub(crate) connections: u32,
    /// Threads used, at most one per connection.
    pub(crate) threads: u32,
    /// Size of a request and of a reply.
    pub(crate) size_bytes: u64,
    /// Requests outstanding per connection.
    pub(crate) pipeline: u32,
    /// Length of the measured window.
    pub(crate) duration_s: f64,
    /// Load before the window.
    pub(crate) warmup_s: f64,
    /// Longest silence of a connection that owes a reply.
    pub(crate) timeout_s: f64,
    /// Seed of the payload.
    pub(crate) seed: u64,
    /// "closed": the next request waits for a reply.
    pub(crate) mode: &'static str,
}

impl From<&Options> for ArgsRecord {
    fn from(options: &Options) -> Self {
        Self {
            target: options.target.to_string(),
            connections: options.connections,
            threads: options.threads,
            size_bytes: options.size_bytes,
            pipeline: options.pipeline,
            duration_s: options.duration.as_secs_f64(),
            warmup_s: options.warmup.as_secs_f64(),
            timeout_s: options.timeout.as_secs_f64(),
            seed: options.seed,
            mode: "closed",
        }
    }
}

/// Throughput of the measured window.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RateRecord {
    /// Requests offered per second; a closed loop offers no rate of its own.
    pub(crate) offered_per_s: Option<f64>,
    /// Measured requests per second of the window that took place.
    pub(crate) achieved_per_s: f64,
    /// Payload bytes of measured requests per second, in each direction.
    pub(crate) bytes_per_s: f64,
}

impl RateRecord {
    /// The rate of `measured` requests of `size_bytes` within `measured_s` seconds.
    pub(crate) fn closed_loop(measured: u64, size_bytes: u64, measured_s: f64) -> Self {
        let achieved_per_s = if measured_s > 0.0 { measured as f64 / measured_s } else { 0.0 };
        Self {
            offered_per_s: None,
            achieved_per_s,
            bytes_per_s: achieved_per_s * size_bytes as f64,
        }
    }
}

/// The distributions of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LatenciesRecord {
    /// From directly before the write of a request to directly after the read of its reply.
    pub(crate) service: LatencyRecord,
    /// From the beginning to the end of a TCP handshake.
    pub(crate) connect: LatencyRecord,
}

/// One distribution in nanoseconds; null where there are too few samples to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LatencyRecord {
    pub(crate) p50: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p999: Option<u64>,
    pub(crate) p9999: Option<u64>,
    /// Exact.
    pub(crate) max: Option<u64>,
    /// Exact.
    pub(crate) min: Option<u64>,
    /// Exact, rounded down.
    pub(crate) mean: Option<u64>,
    /// How many samples.
    pub(crate) count: u64,
}

impl From<&Latency> for LatencyRecord {
    fn from(latency: &Latency) -> Self {
        Self {
            p50: latency.percentile_ns(P50),
            p90: latency.percentile_ns(P90),
            p99: latency.percentile_ns(P99),
            p999: latency.percentile_ns(P999),
            p9999: latency.percentile_ns(P9999),
            max: latency.max_ns(),
            min: latency.min_ns(),
            mean: latency.mean_ns(),
            count: latency.count(),
        }
    }
}

/// One thread of the loader, from its first send until it stopped sending.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ThreadRecord {
    /// Its connections.
    pub(crate) connections: usize,
    /// Its completed requests, warm-up and drain included.
    pub(crate) completed: u64,
    /// Processor time.
    pub(crate) cpu_s: f64,
    /// Elapsed time.
    pub(crate) wall_s: f64,
    /// `cpu_s / wall_s`; near 1 the loader is the limit.
    pub(crate) cpu_share: f64,
}

impl From<&Finished> for ThreadRecord {
    fn from(finished: &Finished) -> Self {
        Self {
            connections: finished.connections,
            completed: finished.recorder.completed_so_far(),
            cpu_s: seconds(finished.cpu_ns),
            wall_s: seconds(finished.wall_ns),
            cpu_share: finished.cpu_ns as f64 / finished.wall_ns.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_never_opened_has_rate_zero() {
        let rate = RateRecord::closed_loop(0, 64, 0.0);
        assert_eq!((rate.achieved_per_s, rate.bytes_per_s), (0.0, 0.0));
    }

    #[test]
    fn the_rate_counts_payload_in_one_direction() {
        let rate = RateRecord::closed_loop(1_000, 64, 2.0);
        assert_eq!((rate.achieved_per_s, rate.bytes_per_s), (500.0, 32_000.0));
    }

    #[test]
    fn unsupported_percentiles_are_null() {
        let mut latency = Latency::new();
        (1..=40).for_each(|n| latency.record(n * 1_000));
        let record = LatencyRecord::from(&latency);
        assert!(record.p90.is_some());
        assert_eq!(serde_json::to_value(&record).unwrap()["p99"], serde_json::Value::Null);
    }
}
