//! One run of a measurement.

use serde::{Deserialize, Serialize};

use super::{
    AgentRecord, ArrivalRecord, Counters, KeyValueRecord, LatenciesRecord, ServerMetricsRecord,
    StatusesRecord, TlsRecord, Validity,
};
use crate::schedule::Mode;
use crate::wire::{Mismatch, UnexpectedReply};

/// One run: new connections and, if the loader starts the server, a new server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Number of the run, from 1.
    pub(crate) number: u32,
    /// Seed of its schedule, sizes and payload: the plan's seed plus `number - 1`. A merged run has
    /// one of each loader. Records of earlier versions have none; see [`super::Record::seeds_of`].
    #[serde(default)]
    pub(crate) seeds: Vec<u64>,
    /// Start in seconds since 1970.
    pub(crate) started_unix_s: f64,
    /// The verdict.
    pub(crate) validity: Validity,
    pub(crate) rate: RateRecord,
    pub(crate) latency_ns: LatenciesRecord,
    pub(crate) counters: Counters,
    /// The replies by status.
    #[serde(default)]
    pub(crate) statuses: StatusesRecord,
    /// The TLS handshakes; nothing in plain text.
    #[serde(default)]
    pub(crate) tls: Option<TlsRecord>,
    /// Commands with keys; nothing for other protocols.
    #[serde(default)]
    pub(crate) key_value: Option<KeyValueRecord>,
    /// The agents that loaded the server; empty if the loader was one process.
    #[serde(default)]
    pub(crate) agents: Vec<AgentRecord>,
    /// The loader's own threads. With agents, those of all.
    pub(crate) threads: Vec<ThreadRecord>,
    /// The sends compared with the schedule; open loop only.
    pub(crate) arrivals: Option<ArrivalRecord>,
    /// Time-weighted mean of the requests outstanding in the window, counted at each change.
    pub(crate) outstanding_mean: f64,
    /// The same mean by Little's law: the parts of all service times that lie in the window, added,
    /// divided by its length. Older versions did not record it.
    #[serde(default)]
    pub(crate) outstanding_by_service: f64,
    /// The intervals of the run.
    pub(crate) intervals: Vec<IntervalRecord>,
    /// The server process during this run.
    pub(crate) server: Option<ServerRecord>,
    /// What the server said of itself; nothing without `--server-admin`.
    #[serde(default)]
    pub(crate) server_metrics: Option<ServerMetricsRecord>,
    /// Processor time stolen by the hypervisor during the run, as a share of all processors' time.
    pub(crate) steal_share: Option<f64>,
    /// The first wrong byte.
    pub(crate) first_mismatch: Option<Mismatch>,
    /// The words of the first reply with an unexpected status.
    #[serde(default)]
    pub(crate) first_unexpected_reply: Option<UnexpectedReply>,
    /// The first byte of an HTTP body that differs from the run's first reply with that status.
    #[serde(default)]
    pub(crate) first_changed_body: Option<Mismatch>,
    /// The text of the first error counted as "other", or of the first failed connect.
    pub(crate) first_other_error: Option<String>,
    /// Seconds after which no connection was left, if that was before the end.
    pub(crate) ended_early_s: Option<f64>,
    /// Whether a signal ended it.
    pub(crate) interrupted: bool,
}

/// One thread of the loader, from its first send until it stopped sending.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ThreadRecord {
    /// Its connections.
    pub(crate) connections: usize,
    /// Its completed requests, warm-up and drain included.
    pub(crate) completed: u64,
    /// Processor time.
    pub(crate) cpu_s: f64,
    /// Elapsed time.
    pub(crate) wall_s: f64,
    /// `cpu_s / wall_s`. Near 1, the loader is the limit.
    pub(crate) cpu_share: f64,
    /// Number of preemptions by the kernel (involuntary context switches).
    pub(crate) involuntary_switches: u64,
    /// Page faults that waited for a disk (major faults).
    pub(crate) major_faults: u64,
    /// Stalls in the measured window: times at which the thread should have run and did not.
    #[serde(default)]
    pub(crate) stalls: u64,
    /// How long they were together.
    #[serde(default)]
    pub(crate) stalled_s: f64,
    #[serde(default)]
    pub(crate) longest_stall_s: f64,
    /// Time that the thread was ready to run and waited for a processor, if the kernel counts it.
    pub(crate) run_delay_s: Option<f64>,
}

/// One interval of a run. Requests are counted where their reply, or their failure, was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IntervalRecord {
    /// Seconds from the start of the measured window (negative in the warm-up) to its beginning.
    pub(crate) start_s: f64,
    pub(crate) length_s: f64,
    /// Requests that were due.
    pub(crate) scheduled: u64,
    pub(crate) sent: u64,
    pub(crate) completed: u64,
    /// Requests that failed: see `Counters::failed_requests`.
    pub(crate) failed: u64,
    /// Sent and unanswered at the end of the interval.
    pub(crate) outstanding: u64,
    /// Due and unsent at the end of the interval.
    pub(crate) backlog: u64,
    /// Of the measured requests that were answered in the interval: response in an open loop,
    /// service in a closed one.
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
    /// Share of a processor, of the busiest loader thread.
    pub(crate) loader_cpu: f64,
    /// Seconds that a loader thread stood still, of the thread that did so longest.
    #[serde(default)]
    pub(crate) loader_stalled_s: f64,
    /// Share of the time that a loader thread waited for a processor, the largest of a thread.
    pub(crate) loader_run_delay: Option<f64>,
    /// Processors used by the server, if it is watched.
    pub(crate) server_cpu: Option<f64>,
}

/// A server process between the first request and the last reply. An unknown value is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerRecord {
    /// Its command line.
    pub(crate) command: String,
    pub(crate) pid: u32,
    /// Elapsed seconds between the two readings of the numbers below.
    pub(crate) wall_s: f64,
    /// Processor time of all its threads.
    pub(crate) cpu_s: f64,
    /// `cpu_s` divided by completed requests, in microseconds.
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
    /// Resident memory at the end.
    pub(crate) rss_bytes: Option<u64>,
    /// Proportional share of memory at the end (`Pss` of smaps_rollup).
    pub(crate) pss_bytes: Option<u64>,
    /// Every thread that used processor time.
    pub(crate) threads: Vec<ServerThread>,
    /// Processors it may use, as the kernel lists them ("0-3").
    pub(crate) cpus_allowed: Option<String>,
    /// SHA-256 of the program, in hexadecimal.
    pub(crate) program_sha256: Option<String>,
}

/// One thread of the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerThread {
    pub(crate) name: String,
    pub(crate) tid: u32,
    pub(crate) cpu_s: f64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

/// Throughput of the measured window: what happened inside it, divided by its length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RateRecord {
    /// Requests scheduled in the window, per second of it; nothing in a closed loop.
    pub(crate) offered_per_s: Option<f64>,
    /// Correct replies received in the window, per second of it.
    pub(crate) achieved_per_s: f64,
    /// Bytes written to sockets in the window, per second of it.
    pub(crate) sent_bytes_per_s: f64,
    /// Bytes read from sockets in the window, per second of it.
    pub(crate) received_bytes_per_s: f64,
    /// Seconds of the actual window, over all runs.
    pub(crate) measured_s: f64,
}

impl RateRecord {
    /// The rates of what was counted within `measured_s`.
    pub(crate) fn new(counters: &Counters, mode: Mode, measured_s: f64) -> Self {
        let per_s = |count: u64| if measured_s > 0.0 { count as f64 / measured_s } else { 0.0 };
        Self {
            offered_per_s: (mode == Mode::Open).then(|| per_s(counters.in_window)),
            achieved_per_s: per_s(counters.answered_in_window),
            sent_bytes_per_s: per_s(counters.bytes_sent_in_window),
            received_bytes_per_s: per_s(counters.bytes_received_in_window),
            measured_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_never_opened_has_rate_zero() {
        let rate = RateRecord::new(&Counters::default(), Mode::Open, 0.0);
        assert_eq!((rate.achieved_per_s, rate.offered_per_s), (0.0, Some(0.0)));
    }

    #[test]
    fn the_rates_are_those_of_the_window_whatever_came_before_and_after() {
        let counters = Counters {
            completed: 5_000,
            measured: 3_000,
            answered_in_window: 1_000,
            bytes_sent: 9_999,
            bytes_sent_in_window: 64_000,
            bytes_received: 9_999,
            bytes_received_in_window: 128_000,
            ..Counters::default()
        };
        let rate = RateRecord::new(&counters, Mode::Closed, 2.0);
        assert_eq!((rate.offered_per_s, rate.achieved_per_s), (None, 500.0));
        assert_eq!((rate.sent_bytes_per_s, rate.received_bytes_per_s), (32_000.0, 64_000.0));
    }
}
