//! The plan of a measurement in the record.

use serde::{Deserialize, Serialize};

use super::TextValue;
use crate::options::{Options, Pacing, ServerSource};
use crate::schedule::{Mode, RateProfile};
use crate::slo::Slo;

/// The requested plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArgsRecord {
    /// The server, as given.
    pub(crate) target: String,
    /// "closed": the next request waits for a reply. "open": requests follow the schedule.
    pub(crate) mode: Mode,
    /// The rate as given, such as "50k" or "10k..50k"; nothing in a closed loop.
    pub(crate) rate: Option<TextValue<RateProfile>>,
    /// "poisson" or "constant"; nothing in a closed loop.
    pub(crate) arrival: Option<String>,
    /// Requested connections.
    pub(crate) connections: u32,
    /// Threads used, at most one per connection.
    pub(crate) threads: u32,
    /// Maximum number of requests outstanding per connection.
    pub(crate) pipeline: u32,
    /// How requests and replies look on the wire.
    pub(crate) protocol: String,
    /// Sizes of requests, as given.
    pub(crate) size: String,
    /// Mean size of a request's payload in bytes, if it is known beforehand.
    pub(crate) size_mean_bytes: f64,
    /// The part of a reply that is compared: "full", "length", "none".
    pub(crate) verify: String,
    /// When connections are closed and replaced, as given.
    pub(crate) churn: Option<String>,
    /// Length of the measured window.
    pub(crate) duration_s: f64,
    /// Load before the window.
    pub(crate) warmup_s: f64,
    /// How long a connection with a reply outstanding may receive nothing.
    pub(crate) timeout_s: f64,
    /// Seed of schedule, sizes and payload of the first run. Each further run has the next one.
    pub(crate) seed: u64,
    /// How the loader waited for the next request's time: "sleep", "hybrid", "spin".
    pub(crate) pacing: TextValue<Pacing>,
    /// Objectives, as given.
    pub(crate) slo: Vec<TextValue<Slo>>,
    /// Requested runs.
    pub(crate) runs: u32,
    /// The command that started the server for each run.
    pub(crate) server_command: Option<String>,
}

impl ArgsRecord {
    /// Whether the loop is open: requests follow a schedule.
    pub(crate) fn is_open(&self) -> bool {
        self.mode == Mode::Open
    }
}

impl From<&Options> for ArgsRecord {
    fn from(options: &Options) -> Self {
        let open = options.load.open();
        Self {
            target: options.target.to_string(),
            mode: options.load.mode(),
            rate: open.map(|open| TextValue::of(open.profile.clone())),
            arrival: open.map(|open| open.arrival.to_string()),
            connections: options.connections,
            threads: options.threads,
            pipeline: options.pipeline,
            protocol: options.traffic.protocol.to_string(),
            size: options.traffic.sizes.to_string(),
            size_mean_bytes: options.traffic.sizes.mean_bytes(),
            verify: options.traffic.verify.to_string(),
            churn: options.churn.describe(),
            duration_s: options.duration.as_secs_f64(),
            warmup_s: options.warmup.as_secs_f64(),
            timeout_s: options.timeout.as_secs_f64(),
            seed: options.seed,
            pacing: TextValue::of(options.pacing),
            slo: options.slo.iter().cloned().map(TextValue::of).collect(),
            runs: options.runs,
            server_command: options.server.as_ref().and_then(ServerSource::command),
        }
    }
}
