//! The parts of `/stats` that `top` shows. A field that an older server does not send is zero, and
//! one that only a newer server sends is ignored.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Snapshot {
    pub(super) version: String,
    pub(super) uptime_s: f64,
    pub(super) draining: bool,
    pub(super) listeners: Vec<String>,
    pub(super) shards: Vec<Shard>,
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) balance: BTreeMap<String, Fairness>,
    pub(super) process: Process,
    pub(super) histograms: Vec<Histograms>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shard {
    pub(super) core: Option<usize>,
    pub(super) answered: bool,
    pub(super) open: u64,
    pub(super) queued: u64,
    pub(super) busy_share: f64,
    pub(super) connections: u64,
    pub(super) reads: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) wakes_sent: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Acceptor {
    pub(super) accepting: bool,
    pub(super) accepted: u64,
    pub(super) shed: u64,
    pub(super) source_limit: u64,
    pub(super) pauses_full: u64,
    pub(super) pauses_at_limit: u64,
    pub(super) pauses_at_rate: u64,
    pub(super) pauses_memory: u64,
    pub(super) pauses_exhausted: u64,
    pub(super) pauses_failing: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fairness {
    pub(super) jain: f64,
    pub(super) max_over_mean: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) cpu_ns: u64,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
}

/// One shard's times in nanoseconds, each with its count, in rising order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Histograms {
    pub(super) loop_lag_ns: Times,
    pub(super) handoff_ns: Times,
}

pub(super) type Times = Vec<(u64, u64)>;

/// The sum of counters. Those of another program can be so large that it overflows.
pub(super) fn sum(counters: impl IntoIterator<Item = u64>) -> u64 {
    counters.into_iter().fold(0, u64::saturating_add)
}

impl Shard {
    pub(super) fn errors(&self) -> u64 {
        sum(self.errors.values().copied())
    }
}

impl Acceptor {
    pub(super) fn pauses(&self) -> u64 {
        sum([
            self.pauses_full,
            self.pauses_at_limit,
            self.pauses_at_rate,
            self.pauses_memory,
            self.pauses_exhausted,
            self.pauses_failing,
        ])
    }
}
