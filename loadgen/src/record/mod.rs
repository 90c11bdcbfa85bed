//! The machine-readable result of a measurement, `result.json`: the contract with scripts.
//!
//! It contains results, not their presentation, which is in `report`. The file
//! `loadgen/schema/result.schema.json` describes every field. A test compares the two.

mod agents;
mod args;
mod arrivals;
mod counters;
mod http;
mod key_value;
mod latency;
mod run;
mod server_metrics;
mod statuses;
mod text_value;
mod tls;
mod validity;

use std::slice;

use serde::{Deserialize, Serialize};

pub(crate) use self::agents::AgentRecord;
pub(crate) use self::args::ArgsRecord;
pub(crate) use self::arrivals::ArrivalRecord;
pub(crate) use self::counters::Counters;
pub(crate) use self::http::HttpArgsRecord;
pub(crate) use self::key_value::{KeyValueArgsRecord, KeyValueCounts, KeyValueRecord};
pub(crate) use self::latency::{LatenciesRecord, LatencyRecord};
pub(crate) use self::run::{
    IntervalRecord, RateRecord, RunRecord, ServerRecord, ServerThread, ThreadRecord,
};
pub(crate) use self::server_metrics::{ServerMetricsInterval, ServerMetricsRecord, ServerTiming};
pub(crate) use self::statuses::{StatusCounts, StatusesRecord};
pub(crate) use self::text_value::TextValue;
pub(crate) use self::tls::{TlsArgsRecord, TlsRecord};
pub(crate) use self::validity::{Code, Decision, LoaderPart, Reason, SloRecord, Validity, Verdict};
use crate::environment::Environment;

/// Name and version of the format. A change that breaks a reader raises the number.
pub(crate) const SCHEMA: &str = "loadgen/3";

/// One measurement: one plan, run once or several times.
///
/// Rates, latencies and counters are those of all runs together (histograms are added, never
/// percentiles averaged); each run's own are in `runs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Always [`SCHEMA`].
    pub(crate) schema: String,
    /// The requested plan.
    pub(crate) args: ArgsRecord,
    /// The machine and the time.
    pub(crate) env: Environment,
    /// The verdict.
    pub(crate) validity: Validity,
    /// The results of the service-level objectives.
    pub(crate) slo: Vec<SloRecord>,
    /// The rates.
    pub(crate) rate: RateRecord,
    /// The latencies, in nanoseconds.
    pub(crate) latency_ns: LatenciesRecord,
    /// The counters.
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
    /// The record of each run.
    pub(crate) runs: Vec<RunRecord>,
    /// The server process, if it was started or watched, over all runs.
    pub(crate) server: Option<ServerRecord>,
    /// What the server said of itself, over all runs; nothing without `--server-admin`.
    #[serde(default)]
    pub(crate) server_metrics: Option<ServerMetricsRecord>,
    /// Whether a signal ended it. Then the numbers are those of the part before the signal.
    pub(crate) interrupted: bool,
}

impl Record {
    /// The seeds of one of its runs. In records of earlier versions, each run has the plan's seed.
    pub(crate) fn seeds_of<'a>(&'a self, run: &'a RunRecord) -> &'a [u64] {
        if run.seeds.is_empty() { slice::from_ref(&self.args.seed) } else { &run.seeds }
    }
}

#[cfg(test)]
pub(crate) mod tests;
