//! Records the measurements of one thread: counters of the run, latencies of the interval.
//!
//! The thread owns it: measuring needs no lock and no shared counter. Each value is recorded once,
//! in the histograms of the interval. The thread reports them when the interval ends. The
//! histograms of the run are their sum.

mod gap_sample;
mod recorded;

use std::io;
use std::mem;
use std::ops::Range;

use rustix::io::Errno;

use self::gap_sample::GapSample;
pub(crate) use self::recorded::Recorded;
use super::connection::SetupFailure;
use super::due_requests::Unsent;
use super::stalls::{Heartbeat, Stalls, overlap_ns};
use crate::latency::{Batches, Distribution, Latencies, ReplyClass};
use crate::record::{Counters, KeyValueCounts, StatusCounts, TlsRecord};
use crate::schedule::{Mode, Window};
use crate::tls::{HandshakeFailure, Negotiated};
use crate::wire::{Mismatch, Outcome, Reply, UnexpectedReply};

/// A request that has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// The intended send time; in a closed loop the actual one.
    pub(crate) intended_ns: u64,
    pub(crate) sent_ns: u64,
    /// How long the thread had stood still before it was sent, in all: see
    /// [`Recorder::stalled_ns`].
    pub(crate) stalled_before_ns: u64,
}

/// Why a connection cannot send. Without an obstacle, only the loader keeps requests back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Requests outstanding, a full socket, or a handshake that has not ended.
    Blocked,
    /// It was lost, and no reply has come since.
    Unconnected,
}

/// Why a connection was lost.
#[derive(Debug)]
pub(crate) enum Failure {
    ClosedByServer,
    /// The server has said so before, in these words.
    ClosedWith(String),
    Reset,
    TimedOut,
    /// A TLS stream that ended without the announcement of its end.
    Truncated,
    /// The server has ended it with an alert, or has violated the protocol of TLS.
    Tls(rustls::Error),
    Mismatch(Mismatch),
    Other(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => error.downcast().map_or_else(Self::Other, Self::Tls),
        }
    }
}

/// One thread's results.
#[derive(Debug)]
pub(crate) struct Recorder {
    window: Window,
    /// Requests have intended times only in an open loop.
    mode: Mode,
    counters: Counters,
    latencies: Box<Latencies>,
    batches: Batches,
    gaps: GapSample,
    statuses: StatusCounts,
    tls: TlsRecord,
    key_value: KeyValueCounts,
    first_mismatch: Option<Mismatch>,
    first_unexpected_reply: Option<UnexpectedReply>,
    first_changed_body: Option<Mismatch>,
    first_error: Option<String>,
    /// Requests outstanding, summed over the nanoseconds of the window up to `summed_until_ns`.
    outstanding_ns: u128,
    summed_until_ns: u64,
    /// The part of each request's service time that lies in the window, added.
    served_ns: u128,
    heartbeat: Heartbeat,
    stalls: Stalls,
    last_stall: Range<u64>,
    /// How long the thread has stood still in all, warm-up and drain included.
    stalled_ns: u64,
    /// How much of it has been reported with an interval.
    reported_stalled_ns: u64,
}

impl Recorder {
    /// A recorder for a run measured in `window`.
    pub(crate) fn new(window: Window, mode: Mode, seed: u64) -> Self {
        Self {
            window,
            mode,
            counters: Counters::default(),
            latencies: Box::new(Latencies::new()),
            batches: Batches::new(window),
            gaps: GapSample::new(seed),
            statuses: StatusCounts::default(),
            tls: TlsRecord::default(),
            key_value: KeyValueCounts::default(),
            first_mismatch: None,
            first_unexpected_reply: None,
            first_changed_body: None,
            first_error: None,
            outstanding_ns: 0,
            summed_until_ns: 0,
            served_ns: 0,
            heartbeat: Heartbeat::new(),
            stalls: Stalls::default(),
            last_stall: 0..0,
            stalled_ns: 0,
            reported_stalled_ns: 0,
        }
    }

    /// Sets the window when the load starts, at `now_ns`.
    pub(crate) fn starts(&mut self, window: Window, now_ns: u64) {
        self.window = window;
        self.batches = Batches::new(window);
        self.summed_until_ns = window.measure_from_ns;
        self.heartbeat.begin(now_ns);
    }

    /// Continues with what another recorder had counted up to `at_ns`.
    pub(crate) fn resume(&mut self, counters: Counters, at_ns: u64) {
        self.counters = counters;
        self.summed_until_ns = self.summed_until_ns.max(at_ns.min(self.window.end_ns));
    }

    /// Looks for a stall before `now_ns`; since the last look, the thread has only worked.
    pub(crate) fn worked(&mut self, now_ns: u64) {
        if let Some(stall) = self.heartbeat.worked(now_ns) {
            self.stalled(stall);
        }
    }

    /// Looks for a stall at the end of a wait that had to end at `until_ns` at the latest.
    pub(crate) fn waited(&mut self, until_ns: u64, now_ns: u64) {
        if let Some(stall) = self.heartbeat.waited(until_ns, now_ns) {
            self.stalled(stall);
        }
    }

    fn stalled(&mut self, stall: Range<u64>) {
        let window = self.window.measure_from_ns..self.window.end_ns;
        self.stalls.add(overlap_ns(&stall, &window));
        self.stalled_ns += stall.end - stall.start;
        self.last_stall = stall;
    }

    /// Takes how long the thread stood still since the last call.
    pub(crate) fn take_stalled_ns(&mut self) -> u64 {
        let before_ns = mem::replace(&mut self.reported_stalled_ns, self.stalled_ns);
        self.stalled_ns - before_ns
    }

    /// How long the thread has stood still in all. What this grows by while a request is
    /// outstanding, its reply may have waited to be read.
    pub(crate) fn stalled_ns(&self) -> u64 {
        self.stalled_ns
    }

    /// Ends the window at `now_ns`, if it has not ended: the load stops early.
    pub(crate) fn stops(&mut self, now_ns: u64) {
        self.passed(now_ns);
        self.window.end_ns = self.window.end_ns.min(now_ns);
    }

    /// Records the time of a connect.
    pub(crate) fn connected(&mut self, took_ns: u64) {
        self.latencies[Distribution::Connect].record(took_ns);
    }

    /// Records a TLS handshake: its time, and what it agreed on.
    pub(crate) fn secured(&mut self, took_ns: u64, negotiated: Negotiated) {
        self.latencies[Distribution::Handshake].record(took_ns);
        self.tls.add(negotiated);
    }

    /// Counts a failed TLS handshake.
    pub(crate) fn handshake_failed(&mut self, failure: HandshakeFailure) {
        self.counters.connect_failures += 1;
        self.counters.handshake_failures += 1;
        self.first_error.get_or_insert_with(|| format!("TLS handshake: {failure}"));
        self.tls.failed(failure);
    }

    /// Counts a connection that was established and could not be set up.
    pub(crate) fn setup_failed(&mut self, failure: &SetupFailure) {
        self.counters.connect_failures += 1;
        let is_timeout = matches!(failure, SetupFailure::TimedOut);
        self.counters.connects_timed_out += u64::from(is_timeout);
        self.first_error.get_or_insert_with(|| failure.to_string());
    }

    /// Counts a connection that requests can be sent on.
    pub(crate) fn established(&mut self) {
        self.counters.connects += 1;
    }

    /// Counts a failed connect.
    pub(crate) fn connect_failed(&mut self, error: &io::Error) {
        self.counters.connect_failures += 1;
        self.counters.connects_refused +=
            u64::from(error.kind() == io::ErrorKind::ConnectionRefused);
        // A backlog that stays full over a unix socket is what no answer is over TCP.
        let is_timeout =
            matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        self.counters.connects_timed_out += u64::from(is_timeout);
        self.counters.connects_exhausted += u64::from(is_exhausted(error));
        self.first_error.get_or_insert_with(|| format!("connect: {error}"));
    }

    /// Counts a connection that was closed as planned.
    pub(crate) fn churned(&mut self) {
        self.counters.churned += 1;
    }

    /// Counts the bytes that one write took at `now_ns`.
    pub(crate) fn bytes_sent(&mut self, bytes: usize, now_ns: u64) {
        self.counters.bytes_sent += bytes as u64;
        if self.window.contains(now_ns) {
            self.counters.bytes_sent_in_window += bytes as u64;
        }
    }

    /// Counts the bytes of one read at `now_ns`.
    pub(crate) fn bytes_received(&mut self, bytes: usize, now_ns: u64) {
        self.counters.bytes_received += bytes as u64;
        if self.window.contains(now_ns) {
            self.counters.bytes_received_in_window += bytes as u64;
        }
    }

    /// Records a request whose first byte was sent. Its connection could be used since `free_ns`.
    pub(crate) fn sent(&mut self, request: Request, free_ns: u64) {
        self.passed(request.sent_ns);
        // Where the connect is a part of the request, it has begun before.
        let counted = self.window.measure_from_ns..self.summed_until_ns;
        self.outstanding_ns += u128::from(overlap_ns(&(request.sent_ns..u64::MAX), &counted));
        self.counters.scheduled += 1;
        self.counters.sent += 1;
        if !self.window.contains(request.intended_ns) {
            self.gaps.interrupt();
            return;
        }
        self.counters.in_window += 1;
        if self.mode == Mode::Open {
            self.sent_by_schedule(request, free_ns);
        }
    }

    fn sent_by_schedule(&mut self, request: Request, free_ns: u64) {
        let Request { intended_ns, sent_ns, .. } = request;
        debug_assert!(sent_ns >= intended_ns, "sent before its time");
        let late_ns = sent_ns.saturating_sub(intended_ns);
        // The server may have freed the connection while this thread stood still.
        let blocked = intended_ns..free_ns.min(sent_ns).max(intended_ns);
        let blocked_ns = blocked.end - blocked.start - overlap_ns(&blocked, &self.last_stall);
        self.record(Distribution::Lateness, intended_ns, late_ns);
        self.latencies[Distribution::LoaderLate].record(late_ns - blocked_ns);
        if blocked_ns > 0 {
            self.latencies[Distribution::Blocked].record(blocked_ns);
            self.gaps.interrupt();
        } else {
            self.gaps.sent(intended_ns, sent_ns);
        }
    }

    /// Records a complete reply.
    pub(crate) fn replied(&mut self, request: Request, reply: Reply, reply_ns: u64) {
        if let Some(status) = reply.status() {
            self.statuses.add(status);
        }
        if let Some(class) = class_of(&reply)
            && self.window.contains(request.intended_ns)
        {
            let from_ns = match self.mode {
                Mode::Open => request.intended_ns,
                Mode::Closed => request.sent_ns,
            };
            self.latencies.of_class(class).record(reply_ns.saturating_sub(from_ns));
        }
        match reply {
            Reply::Right { .. } => self.completed(request, reply_ns),
            Reply::Unexpected { quote, .. } => self.unexpected(request, quote, reply_ns),
            Reply::Command { name, outcome } => {
                self.key_value.add(name, &outcome);
                match outcome {
                    Outcome::Done | Outcome::Hit { .. } | Outcome::Miss { .. } => {
                        self.completed(request, reply_ns);
                    }
                    Outcome::Error { quote, .. } => self.unexpected(request, quote, reply_ns),
                    Outcome::Wrong { .. } => {
                        self.refused(request, reply_ns);
                        self.counters.wrong_values += 1;
                    }
                }
            }
            Reply::BodyChanged { change, .. } => {
                self.refused(request, reply_ns);
                self.counters.changed_bodies += 1;
                self.first_changed_body.get_or_insert(*change);
            }
        }
    }

    fn unexpected(&mut self, request: Request, quote: Option<Box<UnexpectedReply>>, reply_ns: u64) {
        self.refused(request, reply_ns);
        self.counters.unexpected_status += 1;
        if let (None, Some(quote)) = (&self.first_unexpected_reply, quote) {
            self.first_unexpected_reply = Some(*quote);
        }
    }

    /// Records that a request got a reply at `now_ns` that is not the wanted one. For the headline
    /// latency it is a request without a reply.
    fn refused(&mut self, request: Request, now_ns: u64) {
        self.passed(now_ns);
        self.served(request, now_ns);
        self.unanswered(request.intended_ns, now_ns, 1);
    }

    /// Records a complete and correct reply.
    fn completed(&mut self, request: Request, reply_ns: u64) {
        self.passed(reply_ns);
        self.served(request, reply_ns);
        self.counters.completed += 1;
        if self.window.contains(reply_ns) {
            self.counters.answered_in_window += 1;
        }
        if self.window.contains(request.intended_ns) {
            self.counters.measured += 1;
            self.counters.answered_after_window += u64::from(reply_ns >= self.window.end_ns);
            let service_ns = reply_ns.saturating_sub(request.sent_ns);
            self.record(Distribution::Service, request.intended_ns, service_ns);
            if self.mode == Mode::Open {
                let response_ns = reply_ns.saturating_sub(request.intended_ns);
                self.record(Distribution::Response, request.intended_ns, response_ns);
            }
        }
    }

    /// Adds a value of a request that was intended for a time inside the window.
    fn record(&mut self, distribution: Distribution, intended_ns: u64, value_ns: u64) {
        self.latencies[distribution].record(value_ns);
        self.batches.record(distribution, intended_ns, value_ns);
    }

    /// Records a connection lost at `now_ns` with these requests outstanding.
    pub(crate) fn lost(
        &mut self,
        failure: Failure,
        outstanding: impl Iterator<Item = Request>,
        now_ns: u64,
    ) {
        self.passed(now_ns);
        let mut count = 0;
        for request in outstanding {
            self.served(request, now_ns);
            self.unanswered(request.intended_ns, now_ns, 1);
            count += 1;
        }
        match &failure {
            Failure::TimedOut => self.counters.timed_out += count,
            _ => self.counters.failed += count,
        }
        match failure {
            Failure::ClosedByServer => self.counters.closed_by_server += 1,
            Failure::ClosedWith(words) => {
                self.counters.closed_by_server += 1;
                self.first_error.get_or_insert(words);
            }
            Failure::Reset => self.counters.resets += 1,
            Failure::TimedOut => self.counters.timeouts += 1,
            Failure::Truncated => self.counters.truncated += 1,
            Failure::Tls(error) => {
                self.counters.tls_errors += 1;
                let failure = HandshakeFailure::from(error);
                self.first_error.get_or_insert_with(|| format!("TLS: {failure}"));
            }
            Failure::Mismatch(mismatch) => {
                self.counters.mismatches += 1;
                self.first_mismatch.get_or_insert(mismatch);
            }
            Failure::Other(error) => {
                self.counters.other_errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Why connections were lost, if any was.
    pub(crate) fn why_lost(&self) -> Option<String> {
        if let Some(error) = &self.first_error {
            return Some(error.clone());
        }
        let counters = &self.counters;
        let reasons = [
            (counters.closed_by_server, "the server closed it"),
            (counters.resets, "the server reset it"),
            (counters.truncated, "the server ended it without the announcement of its end"),
            (counters.mismatches, "the server sent bytes before a request"),
        ];
        let found = reasons.into_iter().find(|(count, _)| *count > 0);
        found.map(|(_, reason)| reason.to_owned())
    }

    /// Records a request without a reply when the drain ended at `now_ns`.
    pub(crate) fn censored(&mut self, request: Request, now_ns: u64) {
        self.passed(now_ns);
        self.served(request, now_ns);
        self.counters.censored += 1;
        self.unanswered(request.intended_ns, now_ns, 1);
    }

    /// Records requests that were not sent before the drain ended at `now_ns`.
    pub(crate) fn unsent(&mut self, unsent: Unsent, now_ns: u64, obstacle: Option<Obstacle>) {
        let Unsent { intended_ns, count, is_estimate } = unsent;
        let counters = &mut self.counters;
        counters.scheduled += count;
        counters.unsent += count;
        match obstacle {
            Some(Obstacle::Blocked) => counters.unsent_blocked += count,
            Some(Obstacle::Unconnected) => counters.unsent_unconnected += count,
            None => {}
        }
        if is_estimate {
            counters.unsent_estimated += count;
        }
        if self.window.contains(intended_ns) {
            counters.in_window += count;
        }
        self.unanswered(intended_ns, now_ns, count);
    }

    /// Records how long requests without a reply have waited: a lower bound.
    fn unanswered(&mut self, intended_ns: u64, now_ns: u64, count: u64) {
        if self.window.contains(intended_ns) {
            let waited_ns = now_ns.saturating_sub(intended_ns);
            self.latencies[Distribution::Unanswered].record_n(waited_ns, count);
            let headline = Distribution::headline(self.mode);
            self.batches.record_n(headline, intended_ns, waited_ns, count);
        }
    }

    /// Adds `backlog` requests that were due but unsent or unanswered when the window opened.
    pub(crate) fn window_opens(&mut self, backlog: u64) {
        self.counters.backlog_at_window += backlog;
    }

    /// Adds the time up to `now_ns`, with the current number of outstanding requests.
    fn passed(&mut self, now_ns: u64) {
        let until_ns = now_ns.min(self.window.end_ns);
        let passed_ns = until_ns.saturating_sub(self.summed_until_ns);
        self.outstanding_ns += u128::from(passed_ns) * u128::from(self.outstanding());
        self.summed_until_ns = self.summed_until_ns.max(until_ns);
    }

    /// Adds the part of a request's service time that lies in the window, and records how long the
    /// thread stood still in its service time.
    fn served(&mut self, request: Request, end_ns: u64) {
        let window = self.window.measure_from_ns..self.window.end_ns;
        self.served_ns += u128::from(overlap_ns(&(request.sent_ns..end_ns), &window));
        let stalled_ns = self.stalled_ns - request.stalled_before_ns;
        if stalled_ns > 0 && self.window.contains(request.intended_ns) {
            self.latencies[Distribution::Stalled].record(stalled_ns);
        }
    }

    /// Requests that were sent and have no result yet.
    pub(crate) fn outstanding(&self) -> u64 {
        let counters = &self.counters;
        counters.sent - counters.completed - counters.failed_requests() - counters.censored
    }

    /// The counters so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the latencies since the last call, and continues with empty ones.
    pub(crate) fn take_latencies(&mut self, empty: Option<Box<Latencies>>) -> Box<Latencies> {
        let empty = empty.unwrap_or_else(|| Box::new(Latencies::new()));
        self.counters.saturated += self.latencies.headline(self.mode).saturated();
        mem::replace(&mut self.latencies, empty)
    }

    /// The results besides the latencies.
    pub(crate) fn finish(self) -> Recorded {
        Recorded {
            counters: self.counters,
            batches: Some(self.batches),
            gaps: self.gaps.into_pairs(),
            statuses: self.statuses,
            tls: self.tls,
            key_value: self.key_value,
            first_mismatch: self.first_mismatch,
            first_unexpected_reply: self.first_unexpected_reply,
            first_changed_body: self.first_changed_body,
            first_error: self.first_error,
            outstanding_ns: self.outstanding_ns,
            served_ns: self.served_ns,
            stalls: self.stalls,
        }
    }
}

/// Whether this machine had no descriptor, port or memory left for a connection.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

/// The class of a reply that has a status or is an error line.
fn class_of(reply: &Reply) -> Option<ReplyClass> {
    match (reply.status(), reply) {
        (Some(status), _) => Some(ReplyClass::of_status(status)),
        (None, Reply::Unexpected { .. }) => Some(ReplyClass::ErrorLine),
        (None, Reply::Right { .. } | Reply::BodyChanged { .. }) => None,
        (None, Reply::Command { outcome, .. }) => Some(match outcome {
            Outcome::Done => ReplyClass::Executed,
            Outcome::Hit { .. } => ReplyClass::Hit,
            Outcome::Miss { .. } => ReplyClass::Miss,
            Outcome::Error { .. } => ReplyClass::ErrorLine,
            Outcome::Wrong { .. } => ReplyClass::WrongValue,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Measures from 100 to 200.
    fn recorder(mode: Mode) -> Recorder {
        let window = Window::new(0, Duration::from_nanos(100), Duration::from_nanos(100));
        Recorder::new(window, mode, 1)
    }

    fn request(intended_ns: u64, sent_ns: u64) -> Request {
        Request { intended_ns, sent_ns, stalled_before_ns: 0 }
    }

    #[test]
    fn a_request_counts_by_its_intended_time_even_when_it_is_sent_and_answered_late() {
        let mut recorder = recorder(Mode::Open);
        for request in [request(99, 150), request(100, 4_000), request(199, 201), request(200, 205)]
        {
            recorder.sent(request, 0);
            recorder.completed(request, 5_000);
        }
        let counters = recorder.counters().clone();
        assert_eq!((counters.completed, counters.in_window, counters.measured), (4, 2, 2));
        let latencies = recorder.take_latencies(None);
        assert_eq!(
            (
                latencies[Distribution::Response].min_ns(),
                latencies[Distribution::Response].max_ns()
            ),
            (Some(4_801), Some(4_900))
        );
        assert_eq!(
            (latencies[Distribution::Service].min_ns(), latencies[Distribution::Service].max_ns()),
            (Some(1_000), Some(4_799))
        );
        assert_eq!(latencies[Distribution::Lateness].max_ns(), Some(3_900));
    }

    #[test]
    fn a_closed_loop_has_service_times_only() {
        let mut recorder = recorder(Mode::Closed);
        recorder.sent(request(120, 120), 0);
        recorder.completed(request(120, 120), 150);
        let latencies = recorder.take_latencies(None);
        assert_eq!(
            (latencies[Distribution::Service].count(), latencies[Distribution::Response].count()),
            (1, 0)
        );
        assert_eq!(
            (
                latencies[Distribution::Lateness].count(),
                latencies[Distribution::LoaderLate].count()
            ),
            (0, 0)
        );
    }

    #[test]
    fn lateness_is_split_where_the_connection_became_free() {
        let mut recorder = recorder(Mode::Open);
        recorder.sent(request(110, 150), 140);
        let latencies = recorder.take_latencies(None);
        assert_eq!(latencies[Distribution::Blocked].max_ns(), Some(30));
        assert_eq!(latencies[Distribution::LoaderLate].max_ns(), Some(10));
        assert_eq!(latencies[Distribution::Lateness].max_ns(), Some(40));
        recorder.sent(request(150, 157), 140);
        let latencies = recorder.take_latencies(None);
        assert_eq!(
            (
                latencies[Distribution::Blocked].count(),
                latencies[Distribution::LoaderLate].max_ns()
            ),
            (0, Some(7))
        );
    }

    #[test]
    fn each_kind_of_failure_has_its_own_counter_and_every_request_a_lower_bound() {
        let mut recorder = recorder(Mode::Open);
        for _ in 0..8 {
            recorder.sent(request(150, 150), 0);
        }
        recorder.completed(request(150, 150), 160);
        let outstanding = |count: usize| std::iter::repeat_n(request(150, 150), count);
        recorder.lost(Failure::ClosedByServer, outstanding(1), 250);
        recorder.lost(io::Error::from(io::ErrorKind::BrokenPipe).into(), outstanding(2), 250);
        recorder.lost(Failure::TimedOut, outstanding(3), 250);
        recorder.lost(io::Error::other("strange").into(), outstanding(0), 250);
        recorder.censored(request(150, 150), 350);
        let unsent = Unsent { intended_ns: 180, count: 1, is_estimate: false };
        recorder.unsent(unsent, 350, Some(Obstacle::Unconnected));
        let counters = recorder.counters().clone();
        assert_eq!((counters.closed_by_server, counters.resets), (1, 1));
        assert_eq!((counters.timeouts, counters.other_errors), (1, 1));
        assert_eq!((counters.failed, counters.timed_out, counters.censored), (3, 3, 1));
        assert_eq!((counters.scheduled, counters.unsent, counters.in_window), (9, 1, 9));
        assert_eq!((counters.unsent_blocked, counters.unsent_unconnected), (0, 1));
        assert!(counters.conserved() && counters.has_errors());
        let latencies = recorder.take_latencies(None);
        let unanswered = &latencies[Distribution::Unanswered];
        assert_eq!((unanswered.count(), unanswered.min_ns()), (8, Some(100)));
        assert_eq!(unanswered.max_ns(), Some(200));
        assert_eq!(recorder.finish().first_error.as_deref(), Some("strange"));
    }

    #[test]
    fn outstanding_requests_are_weighed_by_their_time_in_the_window() {
        let mut recorder = recorder(Mode::Open);
        recorder.starts(recorder.window, 0);
        recorder.sent(request(10, 10), 0);
        recorder.passed(50);
        recorder.passed(150);
        recorder.sent(request(150, 150), 0);
        recorder.passed(400);
        assert_eq!(recorder.finish().outstanding_ns, 50 + 2 * 50);
    }

    #[test]
    fn the_times_of_requests_in_the_window_are_the_requests_outstanding_in_it_whatever_happens() {
        let mut recorder = recorder(Mode::Open);
        recorder.starts(recorder.window, 0);
        let carried_in = request(10, 20);
        let (answered, lost) = (request(110, 115), request(120, 120));
        // The connect of this one is a part of it: it has begun before the latest event.
        let backdated = request(105, 108);
        let unanswered = request(190, 195);
        recorder.sent(carried_in, 0);
        recorder.sent(answered, 0);
        recorder.sent(lost, 0);
        recorder.completed(carried_in, 150);
        recorder.sent(backdated, 0);
        recorder.completed(answered, 160);
        recorder.lost(Failure::ClosedByServer, [lost].into_iter(), 170);
        recorder.sent(unanswered, 0);
        recorder.completed(backdated, 250);
        recorder.censored(unanswered, 300);
        let recorded = recorder.finish();
        assert_eq!(recorded.served_ns, 50 + 45 + 50 + 92 + 5);
        assert_eq!(recorded.outstanding_ns, recorded.served_ns);
    }
}
