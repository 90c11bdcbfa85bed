//! The machine-readable result of a measurement, `result.json`: the contract with scripts.
//!
//! It holds what was found, not how it is shown; that is the report's business. Field by field it
//! is described in `loadgen/schema/result.schema.json`, and a test holds the two together.

mod args;
mod arrivals;
mod counters;
mod latency;
mod run;
mod text_value;
mod validity;

use serde::{Deserialize, Serialize};

pub(crate) use self::args::ArgsRecord;
pub(crate) use self::arrivals::ArrivalRecord;
pub(crate) use self::counters::Counters;
pub(crate) use self::latency::{LatenciesRecord, LatencyRecord};
pub(crate) use self::run::{
    IntervalRecord, RateRecord, RunRecord, ServerRecord, ServerThread, ThreadRecord,
};
pub(crate) use self::text_value::TextValue;
pub(crate) use self::validity::{Code, Reason, SloRecord, Validity, Verdict};
use crate::environment::Environment;

/// Name and version of the format. A change that breaks a reader raises the number.
pub(crate) const SCHEMA: &str = "loadgen/2";

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
    /// Where and when.
    pub(crate) env: Environment,
    /// Whether to believe it.
    pub(crate) validity: Validity,
    /// What the service-level objectives came to.
    pub(crate) slo: Vec<SloRecord>,
    /// How fast.
    pub(crate) rate: RateRecord,
    /// How long, in nanoseconds.
    pub(crate) latency_ns: LatenciesRecord,
    /// How many.
    pub(crate) counters: Counters,
    /// Every run by itself.
    pub(crate) runs: Vec<RunRecord>,
    /// The server process, if it was started or watched, over all runs.
    pub(crate) server: Option<ServerRecord>,
    /// Whether a signal ended it; the numbers then describe the part that took place.
    pub(crate) interrupted: bool,
}

#[cfg(test)]
pub(crate) mod tests;
