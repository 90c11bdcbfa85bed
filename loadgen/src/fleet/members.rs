//! The agents of one run, and what is known of each.

use super::clock_offset::{ClockOffset, RoundTrip};
use super::message::{Connected, Hello, PartResult};
use crate::engine::{self, Finished, IntervalReport, LastReport, Part, Plan, Recorded};
use crate::latency::{Distribution, Latency, P50, P99};
use crate::record::{AgentRecord, Counters};
use crate::schedule::{Mode, Window};

/// Where an agent is in the run.
#[derive(Debug)]
pub(super) enum Stage {
    Connecting,
    Connected,
    /// It has the starting signal.
    Loading,
    Finished(Box<PartResult>),
    Lost(String),
}

/// One thread of an agent.
#[derive(Debug, Default)]
struct AgentThread {
    last: Option<LastReport>,
    /// Whether its last report has come.
    has_ended: bool,
    /// Its results, if a signal to the agent has ended it early.
    ended_early: Option<Finished>,
}

/// One agent in one run.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) part: Part,
    pub(super) stage: Stage,
    pub(super) connected: Option<Connected>,
    /// When its last message came.
    pub(super) heard_ns: u64,
    /// The answers to the pings since the clocks were last compared.
    pub(super) round_trips: Vec<RoundTrip>,
    /// Its clock before the load, and after it.
    pub(super) offset: Option<ClockOffset>,
    pub(super) offset_after: Option<ClockOffset>,
    /// Number of its first thread among those of all agents.
    pub(super) first_thread: usize,
    threads: Vec<AgentThread>,
    headline: Latency,
    service: Latency,
    loader_late: Latency,
}

impl Member {
    pub(super) fn new(part: Part, now_ns: u64) -> Self {
        Self {
            part,
            stage: Stage::Connecting,
            connected: None,
            heard_ns: now_ns,
            round_trips: Vec::new(),
            offset: None,
            offset_after: None,
            first_thread: 0,
            threads: Vec::new(),
            headline: Latency::new(),
            service: Latency::new(),
            loader_late: Latency::new(),
        }
    }

    /// Sets the numbers of its threads.
    pub(super) fn number_threads(&mut self, first_thread: usize, threads: usize) {
        self.first_thread = first_thread;
        self.threads = (0..threads).map(|_| AgentThread::default()).collect();
    }

    /// Whether its load goes on, or can begin.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Connected | Stage::Loading)
    }

    /// The numbers of its threads, among those of all agents, whose last report is missing.
    pub(super) fn open_threads(&self) -> Vec<usize> {
        let open = |(index, thread): (usize, &AgentThread)| {
            (!thread.has_ended).then_some(self.first_thread + index)
        };
        self.threads.iter().enumerate().filter_map(open).collect()
    }

    /// Takes note of a report, with its numbers and times as the coordinator counts them. Nothing
    /// if it is of no thread that may report.
    pub(super) fn take(&mut self, report: IntervalReport, mode: Mode) -> Option<IntervalReport> {
        let thread = self.threads.get_mut(report.thread).filter(|thread| !thread.has_ended)?;
        let end_ns = self.offset?.to_coordinator(report.end_ns);
        thread.has_ended = report.last;
        thread.last = Some(LastReport {
            end_ns,
            counters: report.counters.clone(),
            outstanding: report.outstanding,
            backlog: report.backlog,
        });
        self.headline.merge(report.latencies.headline(mode));
        self.service.merge(&report.latencies[Distribution::Service]);
        self.loader_late.merge(&report.latencies[Distribution::LoaderLate]);
        Some(IntervalReport { thread: self.first_thread + report.thread, end_ns, ..report })
    }

    /// Takes the results of an agent whose load a signal has ended. The rest of its schedule is as
    /// lost as that of an agent that has died.
    pub(super) fn end_early(&mut self, result: PartResult) {
        let Some(offset) = self.offset else { return };
        for (thread, finished) in self.threads.iter_mut().zip(result.threads) {
            if let Some(last) = &mut thread.last {
                last.end_ns = offset.to_coordinator(finished.stopped_ns);
            }
            thread.has_ended = false;
            thread.ended_early = Some(finished);
        }
    }

    /// Ends the accounts of the threads that were lost, at `now_ns`.
    pub(super) fn close_accounts(
        &mut self,
        plan: &Plan<'_>,
        window: Window,
        at: (u64, u64),
    ) -> Vec<(Finished, IntervalReport)> {
        let shares = plan.shares();
        let mut accounts = Vec::new();
        for (share, thread) in shares.into_iter().zip(&mut self.threads) {
            if !thread.has_ended {
                thread.has_ended = true;
                let last = thread.last.as_ref();
                let (mut finished, report) = engine::account(plan, share, window, last, at);
                if let Some(early) = thread.ended_early.take() {
                    // The account goes on from its counters.
                    let recorded = Recorded { counters: Counters::default(), ..early.recorded };
                    finished.recorded.merge(recorded);
                }
                let thread = self.first_thread + report.thread;
                accounts.push((finished, IntervalReport { thread, ..report }));
            }
        }
        accounts
    }

    /// Its part of the record of the run. `counters` are those of its threads.
    pub(super) fn record(
        &self,
        name: &str,
        hello: &Hello,
        connections: u32,
        counters: Counters,
    ) -> AgentRecord {
        let connected = self.connected.as_ref();
        let result = match &self.stage {
            Stage::Finished(result) => Some(result),
            _ => None,
        };
        let (before, after) = (self.offset, self.offset_after);
        AgentRecord {
            rank: self.part.rank,
            name: name.to_owned(),
            host: hello.host.clone(),
            boot_id: hello.boot_id.clone(),
            version: hello.version.clone(),
            profile: hello.profile.clone(),
            cpus: hello.cpus,
            sharing: connected.and_then(|connected| connected.sharing),
            pacing: connected.map_or_else(String::new, |connected| connected.pacing.clone()),
            connections: self.part.connections_of(connections),
            threads: self.threads.len(),
            clock_offset_ns: before.map(|offset| offset.offset_ns),
            clock_error_ns: before.map(|offset| offset.error_ns),
            clock_drift_ns: before
                .zip(after)
                .map(|(before, after)| after.offset_ns.saturating_sub(before.offset_ns)),
            start_late_ns: result.map(|result| {
                result.threads.iter().map(|thread| thread.started_late_ns).max().unwrap_or(0)
            }),
            steal_share: result.and_then(|result| result.steal_share),
            measured: counters.measured,
            counters,
            p50_ns: self.headline.percentile_ns(P50),
            p99_ns: self.headline.percentile_ns(P99),
            service_p50_ns: self.service.percentile_ns(P50),
            loader_late_p99_ns: self.loader_late.percentile_ns(P99),
            lost: match &self.stage {
                Stage::Lost(why) => Some(why.clone()),
                _ => None,
            },
        }
    }
}
