//! The server, seen from outside: what the kernel reports about its process.

use serde::{Deserialize, Serialize};

/// A server process between the first request and the last reply. What cannot be known is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerRecord {
    /// Its command line.
    pub(crate) command: String,
    pub(crate) pid: u32,
    /// Elapsed seconds that the numbers below are about.
    pub(crate) wall_s: f64,
    /// Processor time of all its threads.
    pub(crate) cpu_s: f64,
    /// `cpu_s` by completed request, in microseconds.
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
