//! The results of threads, apart from latencies.

use serde::{Deserialize, Serialize};

use crate::engine::stalls::Stalls;
use crate::latency::Batches;
use crate::record::{Counters, KeyValueCounts, StatusCounts, TlsRecord};
use crate::wire::{Mismatch, UnexpectedReply};

/// The results of a thread, apart from latencies.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) counters: Counters,
    /// The latencies of the window in batches.
    pub(crate) batches: Option<Batches>,
    /// Gaps between consecutive sends: (intended, actual), in nanoseconds.
    pub(crate) gaps: Vec<(u64, u64)>,
    pub(crate) statuses: StatusCounts,
    pub(crate) tls: TlsRecord,
    pub(crate) key_value: KeyValueCounts,
    pub(crate) first_mismatch: Option<Mismatch>,
    pub(crate) first_unexpected_reply: Option<UnexpectedReply>,
    pub(crate) first_changed_body: Option<Mismatch>,
    /// The text of the first error that has no counter of its own.
    pub(crate) first_error: Option<String>,
    /// Requests outstanding, summed over the nanoseconds of the window.
    pub(crate) outstanding_ns: u128,
    /// The part of each request's service time that lies in the window, added.
    pub(crate) served_ns: u128,
    /// The stalls of one thread in the window.
    pub(crate) stalls: Stalls,
}

impl Recorded {
    /// Adds the results of another thread.
    pub(crate) fn merge(&mut self, other: Self) {
        self.counters.merge(&other.counters);
        match (&mut self.batches, other.batches) {
            (Some(ours), Some(theirs)) => ours.merge(&theirs),
            (ours, theirs) => *ours = ours.take().or(theirs),
        }
        self.gaps.extend(other.gaps);
        self.statuses.merge(&other.statuses);
        self.tls.merge(&other.tls);
        self.key_value.merge(&other.key_value);
        self.first_mismatch = self.first_mismatch.take().or(other.first_mismatch);
        self.first_unexpected_reply =
            self.first_unexpected_reply.take().or(other.first_unexpected_reply);
        self.first_changed_body = self.first_changed_body.take().or(other.first_changed_body);
        self.first_error = self.first_error.take().or(other.first_error);
        self.outstanding_ns += other.outstanding_ns;
        self.served_ns += other.served_ns;
    }
}
