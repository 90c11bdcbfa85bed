//! The statistics of a server: one typed tree, from which the table, `/stats` and `/metrics` are
//! made.
//!
//! Counters and histograms are plain, and owned by the thread that counts. A reader asks each
//! thread for a copy; no counter is shared.

mod fairness;
mod handshakes;
mod json;
mod process;
mod prometheus;
mod prometheus_format;
mod recorder;
mod table;
mod timing;
mod total;
mod unready;

use serde::Serialize;

pub use fairness::{Balance, Fairness};
pub use handshakes::{HandshakeErrors, HandshakeStats};
pub use process::ProcessStats;
pub(super) use recorder::Recorder;
pub use timing::{Percentiles, Timing};
pub(super) use unready::Unready;

/// The statistics of a server since its start. Displays as the table at the end of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerStats {
    /// Seconds since the server started.
    pub uptime_s: f64,
    /// Whether it drains.
    pub draining: bool,
    /// The first thread that ended before its time, with its error. The server is about to end.
    pub failed: Option<String>,
    /// The addresses it listens on.
    pub listeners: Vec<String>,
    /// Memory of the buffers of all connections, in bytes.
    pub buffer_bytes: u64,
    /// The maximum of `buffer_bytes`.
    pub buffer_limit_bytes: u64,
    /// Sources with open connections, as the limit per source counts them; 0 without that limit.
    pub sources: u64,
    /// One entry per worker, in their order.
    pub shards: Vec<ShardStats>,
    /// One entry per accepting thread, in the order of their shards. If there is an acceptor
    /// thread, it is the only entry.
    pub acceptors: Vec<AcceptorStats>,
}

/// The statistics of one shard.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShardStats {
    /// Its index.
    pub shard: usize,
    /// The core it was pinned to.
    pub core: Option<usize>,
    /// Whether it answered in time. If not, only what other threads know about it is filled in.
    pub answered: bool,
    /// Connections placed here and not closed yet.
    pub open: u64,
    /// Sockets that wait to be adopted.
    pub queued: u64,
    /// The highest number that ever waited.
    pub queued_max: u64,
    /// Busy share of its recent time, 0 to 1.
    #[serde(rename = "busy_share")]
    pub busy: f64,
    /// Connections adopted.
    pub connections: u64,
    /// Reads that returned data.
    pub reads: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Times that reading from a connection waited for a byte rate.
    pub reads_delayed: u64,
    /// Times that sending to a connection waited for a byte rate.
    pub writes_delayed: u64,
    /// Connections that reached their maximum age.
    pub aged: u64,
    /// Messages of other shards and threads that the service got.
    pub messages: u64,
    /// Times that the service could not post a message, because the queue was full.
    pub messages_refused: u64,
    /// Connections that the service dialed, adopted ones included.
    pub dials: u64,
    /// Dials that led to no connection.
    pub dials_failed: u64,
    /// Connections that were closed early, by reason.
    pub errors: ConnectionErrors,
    /// TLS handshakes.
    pub handshakes: HandshakeStats,
    /// Waits of its event base, one per turn.
    pub waits: u64,
    /// Waits that failed for a transient reason, such as a lack of memory.
    pub wait_errors: u64,
    /// Ready descriptors that those waits reported.
    pub events: u64,
    /// Current capacity of its event array.
    pub event_capacity: u64,
    /// Changes of interest that were passed to the kernel.
    pub changes: u64,
    /// Changes merged into one that was not flushed yet.
    pub changes_coalesced: u64,
    /// Changes that undid an unflushed one, so that neither was passed to the kernel.
    pub changes_cancelled: u64,
    /// Eventfd writes by acceptors that woke it.
    pub wakes_sent: u64,
    /// Notifications that found it awake and cost no system call.
    pub wakes_suppressed: u64,
    /// Notifications after which its queue was empty.
    pub wakes_spurious: u64,
    /// Callbacks of connections that took longer than the threshold.
    pub slow_callbacks: u64,
    /// Involuntary context switches of its thread (`getrusage(2)`, `ru_nivcsw`).
    pub switches_involuntary: u64,
    /// CPU time its thread has used, in nanoseconds.
    pub cpu_ns: u64,
    /// Histograms; empty without timings.
    pub timings: ShardTimings,
}

/// Connections that were closed early, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionErrors {
    /// The peer reset them, or a call on them failed.
    pub broken: u64,
    /// The first byte did not arrive in time.
    pub first_byte: u64,
    /// Idle for too long.
    pub idle: u64,
    /// A message did not become complete in time.
    pub message: u64,
    /// A message or a reply exceeded the memory limit of a connection.
    pub too_large: u64,
    /// The memory of all connections reached its limit, or the system had no memory.
    pub no_memory: u64,
    /// A PROXY header was required and missing, invalid, or from an untrusted peer.
    pub proxy: u64,
    /// Their TLS handshake failed; [`ShardStats::handshakes`] has the reasons.
    pub handshake: u64,
    /// The peer broke TLS, or ended it by an alert, after the handshake.
    pub tls: u64,
    /// The peer's TLS stream ended without close_notify.
    pub truncated: u64,
    /// The source that their PROXY header named had as many as it may.
    pub source_limit: u64,
    /// The service panicked.
    pub panicked: u64,
    /// The service aborted them.
    pub aborted: u64,
    /// The kernel refused to watch them.
    pub refused: u64,
    /// Cut off at the drain timeout with pending output.
    pub cut: u64,
}

impl ConnectionErrors {
    /// Each reason by its name.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, u64); 15] {
        [
            ("broken", self.broken),
            ("first_byte", self.first_byte),
            ("idle", self.idle),
            ("message", self.message),
            ("too_large", self.too_large),
            ("no_memory", self.no_memory),
            ("proxy", self.proxy),
            ("handshake", self.handshake),
            ("tls", self.tls),
            ("truncated", self.truncated),
            ("source_limit", self.source_limit),
            ("panicked", self.panicked),
            ("aborted", self.aborted),
            ("refused", self.refused),
            ("cut", self.cut),
        ]
    }

    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }
}

/// One shard's histograms, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShardTimings {
    /// From the return of a wait to the beginning of each callback it caused.
    #[serde(rename = "loop_lag_ns")]
    pub loop_lag: Timing,
    /// How long callbacks of connections took.
    #[serde(rename = "callback_ns")]
    pub callback: Timing,
    /// From accept(2) to the connection's first callback.
    #[serde(rename = "handoff_ns")]
    pub handoff: Timing,
    /// TLS handshakes that were done, from the beginning to the end.
    #[serde(rename = "handshake_ns")]
    pub handshake: Timing,
}

/// The statistics of one acceptor.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AcceptorStats {
    /// Whether its thread answered in time; if not, nothing else is filled in.
    pub answered: bool,
    /// Connections accepted.
    pub accepted: u64,
    /// Calls of accept(2), including those that found the backlog empty.
    pub accept_calls: u64,
    /// Batches of accepts.
    pub batches: u64,
    /// The largest batch.
    pub batch_max: u64,
    /// Connections reset for lack of room.
    pub shed: u64,
    /// Connections reset because their source had as many as it may.
    pub source_limit: u64,
    /// Times accepting paused because no worker had room.
    pub pauses_full: u64,
    /// Times it paused at the connection limit.
    pub pauses_at_limit: u64,
    /// Times it waited because of the accept rate.
    pub pauses_at_rate: u64,
    /// Times it paused because buffers held too much memory.
    pub pauses_memory: u64,
    /// Times it paused for lack of descriptors or memory of the system.
    pub pauses_exhausted: u64,
    /// Times it paused because accept(2) failed repeatedly for another reason.
    pub pauses_failing: u64,
    /// Accepts that failed because the connection had ended already.
    pub aborted: u64,
    /// Whether it accepts now, or waits only because of the accept rate.
    pub accepting: bool,
    /// Why it pauses; `None` if it does not.
    pub paused: Option<&'static str>,
    /// By shard: eventfd writes that woke it.
    pub wakes_sent: Vec<u64>,
    /// By shard: notifications that found it awake.
    pub wakes_suppressed: Vec<u64>,
}
