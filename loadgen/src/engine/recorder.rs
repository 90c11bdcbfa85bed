//! What one thread has seen: latencies, counters, the first mismatch. Owned by the thread, merged
//! at the end; no lock and no shared counter is touched while measuring.

use std::io;

use serde::Serialize;

use crate::latency::Latency;
use crate::schedule::Window;

/// The first reply byte of a connection that was not the byte sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mismatch {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// Offset in bytes within that request's reply.
    pub(crate) offset_bytes: u64,
    /// The byte sent, or nothing when no reply was owed at all.
    pub(crate) expected: Option<u8>,
    /// The byte that came.
    pub(crate) got: u8,
}

/// Why a connection was given up.
#[derive(Debug)]
pub(crate) enum Failure {
    ClosedByServer,
    Reset,
    TimedOut,
    Mismatch(Mismatch),
    Other(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Other(error),
        }
    }
}

/// Counts over the whole run, warm-up and drain included, unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counters {
    /// Requests of which at least the first byte was handed to the kernel.
    pub(crate) sent: u64,
    /// Requests whose reply came back whole and correct.
    pub(crate) completed: u64,
    /// Completed requests sent inside the measured window: those the latencies describe.
    pub(crate) measured: u64,
    /// Requests outstanding on a connection when it was given up.
    pub(crate) failed: u64,
    /// Requests still unanswered when the drain ended.
    pub(crate) censored: u64,
    /// Measured requests slower than the histogram's top.
    pub(crate) saturated: u64,
    /// Connections established.
    pub(crate) connects: u64,
    /// Payload bytes handed to the kernel.
    pub(crate) bytes_sent: u64,
    /// Reply bytes read, wrong ones included.
    pub(crate) bytes_received: u64,
    /// Connections given up because a byte came back wrong.
    pub(crate) mismatches: u64,
    /// Connections the server closed in mid-run.
    pub(crate) closed_by_server: u64,
    /// Connections the server reset.
    pub(crate) resets: u64,
    /// Connections that owed a reply and made no progress for the timeout.
    pub(crate) timeouts: u64,
    /// Connections lost to any other socket error.
    pub(crate) other_errors: u64,
}

impl Counters {
    /// Whether every request sent is accounted for exactly once.
    pub(crate) fn conserved(&self) -> bool {
        self.sent == self.completed + self.failed + self.censored
    }

    /// Whether anything at all went wrong.
    pub(crate) fn has_errors(&self) -> bool {
        let lost = self.mismatches
            + self.closed_by_server
            + self.resets
            + self.timeouts
            + self.other_errors;
        lost + self.failed + self.censored > 0
    }

    fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.completed += other.completed;
        self.measured += other.measured;
        self.failed += other.failed;
        self.censored += other.censored;
        self.saturated += other.saturated;
        self.connects += other.connects;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.mismatches += other.mismatches;
        self.closed_by_server += other.closed_by_server;
        self.resets += other.resets;
        self.timeouts += other.timeouts;
        self.other_errors += other.other_errors;
    }
}

/// One thread's results, and, once merged, the run's.
#[derive(Debug)]
pub(crate) struct Recorder {
    window: Window,
    counters: Counters,
    service: Latency,
    first_mismatch: Option<Mismatch>,
    first_other_error: Option<String>,
}

impl Recorder {
    /// Records a run measured in `window`.
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            counters: Counters::default(),
            service: Latency::new(),
            first_mismatch: None,
            first_other_error: None,
        }
    }

    /// `connections` were established.
    pub(crate) fn connected(&mut self, connections: usize) {
        self.counters.connects += connections as u64;
    }

    /// One write took `bytes`, with which `requests` began.
    pub(crate) fn sent(&mut self, requests: u64, bytes: usize) {
        self.counters.sent += requests;
        self.counters.bytes_sent += bytes as u64;
    }

    /// One read gave `bytes`.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.counters.bytes_received += bytes as u64;
    }

    /// The request sent at `sent_ns` was answered whole and correctly at `reply_ns`.
    pub(crate) fn completed(&mut self, sent_ns: u64, reply_ns: u64) {
        self.counters.completed += 1;
        if self.window.contains(sent_ns) {
            self.counters.measured += 1;
            self.service.record(reply_ns.saturating_sub(sent_ns));
        }
    }

    /// A connection with `outstanding` unanswered requests was given up.
    pub(crate) fn failed(&mut self, failure: Failure, outstanding: usize) {
        self.counters.failed += outstanding as u64;
        match failure {
            Failure::ClosedByServer => self.counters.closed_by_server += 1,
            Failure::Reset => self.counters.resets += 1,
            Failure::TimedOut => self.counters.timeouts += 1,
            Failure::Mismatch(mismatch) => {
                self.counters.mismatches += 1;
                self.first_mismatch.get_or_insert(mismatch);
            }
            Failure::Other(error) => {
                self.counters.other_errors += 1;
                self.first_other_error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// The drain ended with `outstanding` requests of a connection unanswered.
    pub(crate) fn censored(&mut self, outstanding: usize) {
        self.counters.censored += outstanding as u64;
    }

    /// Adds another thread's results.
    pub(crate) fn merge(&mut self, other: Self) {
        self.counters.merge(&other.counters);
        self.service.merge(&other.service);
        self.first_mismatch = self.first_mismatch.take().or(other.first_mismatch);
        self.first_other_error = self.first_other_error.take().or(other.first_other_error);
    }

    /// The counters so far.
    pub(crate) fn counters(&self) -> Counters {
        Counters { saturated: self.service.saturated(), ..self.counters.clone() }
    }

    /// Replies so far; cheap enough for a live display.
    pub(crate) fn completed_so_far(&self) -> u64 {
        self.counters.completed
    }

    /// Service times of the measured requests.
    pub(crate) fn service(&self) -> &Latency {
        &self.service
    }

    /// The first wrong byte, if any came.
    pub(crate) fn first_mismatch(&self) -> Option<&Mismatch> {
        self.first_mismatch.as_ref()
    }

    /// The text of the first error counted as "other".
    pub(crate) fn first_other_error(&self) -> Option<&str> {
        self.first_other_error.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn recorder() -> Recorder {
        Recorder::new(Window::new(0, Duration::from_nanos(100), Duration::from_nanos(100)))
    }

    #[test]
    fn a_request_counts_by_its_send_time_even_when_the_reply_is_late() {
        let mut recorder = recorder();
        recorder.completed(99, 150);
        recorder.completed(100, 5_000);
        recorder.completed(199, 201);
        recorder.completed(200, 210);
        let counters = recorder.counters();
        assert_eq!((counters.completed, counters.measured), (4, 2));
        assert_eq!(recorder.service().max_ns(), Some(4_900));
        assert_eq!(recorder.service().min_ns(), Some(2));
    }

    #[test]
    fn each_kind_of_failure_has_its_own_counter_and_fails_what_was_outstanding() {
        let mut recorder = recorder();
        recorder.sent(9, 900);
        recorder.completed(1, 2);
        recorder.failed(Failure::ClosedByServer, 1);
        recorder.failed(io::Error::from(io::ErrorKind::BrokenPipe).into(), 2);
        recorder.failed(Failure::TimedOut, 3);
        recorder.failed(io::Error::other("strange").into(), 0);
        recorder.censored(2);
        let counters = recorder.counters();
        assert_eq!((counters.closed_by_server, counters.resets), (1, 1));
        assert_eq!((counters.timeouts, counters.other_errors), (1, 1));
        assert_eq!((counters.failed, counters.censored), (6, 2));
        assert!(counters.conserved() && counters.has_errors());
        assert_eq!(recorder.first_other_error(), Some("strange"));
    }

    #[test]
    fn a_lost_request_breaks_conservation() {
        let mut recorder = recorder();
        recorder.sent(2, 2);
        recorder.completed(1, 2);
        assert!(!recorder.counters().conserved());
    }

    #[test]
    fn merging_adds_every_counter() {
        let one = Counters {
            sent: 1,
            completed: 1,
            measured: 1,
            failed: 1,
            censored: 1,
            saturated: 1,
            connects: 1,
            bytes_sent: 1,
            bytes_received: 1,
            mismatches: 1,
            closed_by_server: 1,
            resets: 1,
            timeouts: 1,
            other_errors: 1,
        };
        let mut merged = one.clone();
        merged.merge(&one);
        let json = serde_json::to_value(&merged).unwrap();
        let fields = json.as_object().unwrap();
        assert!(fields.values().all(|value| value == 2), "{json}");
    }
}
