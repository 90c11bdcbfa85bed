//! The plan of a measurement, as the record states it.

use serde::{Deserialize, Serialize};

use super::Stated;
use crate::options::Pacing;
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
    pub(crate) rate: Option<Stated<RateProfile>>,
    /// "poisson" or "constant"; nothing in a closed loop.
    pub(crate) arrival: Option<String>,
    /// Connections asked for.
    pub(crate) connections: u32,
    /// Threads used, at most one per connection.
    pub(crate) threads: u32,
    /// Most requests outstanding per connection.
    pub(crate) pipeline: u32,
    /// How requests and replies look on the wire.
    pub(crate) protocol: String,
    /// Sizes of requests, as given.
    pub(crate) size: String,
    /// Mean size of a request's payload in bytes, as far as it is known beforehand.
    pub(crate) size_mean_bytes: f64,
    /// What is compared of a reply: "full", "length", "none".
    pub(crate) verify: String,
    /// When connections are closed and replaced, as given.
    pub(crate) churn: Option<String>,
    /// Length of the measured window.
    pub(crate) duration_s: f64,
    /// Load before the window.
    pub(crate) warmup_s: f64,
    /// Longest silence of a connection with a reply outstanding.
    pub(crate) timeout_s: f64,
    /// Seed of schedule, sizes and payload.
    pub(crate) seed: u64,
    /// How the loader waited for the next request's time: "sleep", "hybrid", "spin".
    pub(crate) pacing: Stated<Pacing>,
    /// Objectives, as given.
    pub(crate) slo: Vec<Stated<Slo>>,
    /// Runs asked for.
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
