//! One run of all agents together.
//!
//! ```text
//! plan ─▶ all are connected ─▶ compare the clocks ─▶ start at one time ─▶ collect
//!      ─▶ all have finished or are lost ─▶ compare the clocks again ─▶ the outcome
//! ```

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::Fleet;
use super::clock_offset::{ClockOffset, RoundTrip};
use super::link::{Event, News};
use super::members::{Member, Stage};
use super::message::{FromAgent, PartPlan, ToAgent};
use crate::clock::nanoseconds;
use crate::console;
use crate::engine::{
    Collector, Finished, IntervalReport, Observer, PROGRESS_INTERVAL, Part, Plan, Progress,
    RunOutcome, SharedProgress, ThreadResults, conclude, unix_s,
};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::Latencies;
use crate::options::Options;
use crate::plan_files;
use crate::record::{AgentRecord, Counters, IntervalRecord};
use crate::schedule::Window;
use crate::server::Server;
use crate::units::duration;

/// An agent is asked for its time so often while it loads, so that its silence is noticed.
const PING_INTERVAL_NS: u64 = 500_000_000;

/// An agent that says nothing for this long is lost.
const SILENCE_NS_MAX: u64 = 10_000_000_000;

/// Round trips with which the clocks are compared, and how long that may take.
const ROUND_TRIPS: usize = 32;
const ROUND_TRIPS_MIN: usize = 16;
const COMPARING_NS_MAX: u64 = 3_000_000_000;

/// The load begins this long after the starting signal was sent, and the longest round trip twice.
const START_MARGIN: Duration = Duration::from_millis(50);

impl Fleet {
    /// Loads the server as planned and returns the result, still without a verdict.
    pub(crate) fn run(
        &mut self,
        options: &Options,
        interrupt: &Interrupt,
        number: u32,
        mut server: Option<&mut Server>,
        observer: &mut dyn Observer,
    ) -> Result<RunOutcome, Error> {
        self.expect_whole()?;
        let progress = Progress::new(&options.output, number, options.runs);
        let mut run = Run::begin(self, options, interrupt, progress)?;
        let result = run.connect().and_then(|()| {
            run.compare_clocks(|member, offset| member.offset = offset)?;
            run.say_offsets();
            if let Some(server) = &mut server {
                server.begin();
            }
            run.load(number, server.as_deref_mut(), observer)
        });
        run.progress.clear();
        let results = result?;
        run.compare_clocks(|member, offset| member.offset_after = offset)?;
        let agents = run.records(&results.finished);
        let lost = agents.iter().find_map(|agent| Some((agent.name.clone(), agent.lost.clone()?)));
        self.lost = lost;
        let plan = Plan::new(options, interrupt, Part::WHOLE);
        let all = results.finished.into_iter().flatten().collect();
        let results = ThreadResults { finished: all, ..results.others };
        let mut outcome = conclude(&plan, number, results, server)?;
        outcome.record.steal_share = agents.iter().filter_map(|a| a.steal_share).reduce(f64::max);
        outcome.record.agents = agents;
        Ok(outcome)
    }
}

/// What the agents have found: their threads' results by rank, and what belongs to all.
struct Results {
    finished: Vec<Vec<Finished>>,
    /// Without the threads.
    others: ThreadResults,
}

/// A run that goes on.
struct Run<'a> {
    fleet: &'a mut Fleet,
    options: &'a Options,
    interrupt: &'a Interrupt,
    members: Vec<Member>,
    progress: Progress,
    shared: SharedProgress,
    is_stopped: bool,
    pinged_ns: u64,
}

impl<'a> Run<'a> {
    /// Sends each agent its part of the plan.
    fn begin(
        fleet: &'a mut Fleet,
        options: &'a Options,
        interrupt: &'a Interrupt,
        progress: Progress,
    ) -> Result<Self, Error> {
        let words = options.agents.as_ref().map(|agents| agents.command_line(options));
        let words = words.unwrap_or_default();
        let agents = fleet.links.len() as u32;
        let files = (!fleet.have_files).then(plan_files::stored);
        fleet.have_files = true;
        let now_ns = fleet.clock.now_ns();
        let part = |rank| Part { rank, agents };
        let members = (0..agents).map(|rank| Member::new(part(rank), now_ns)).collect();
        for (rank, link) in (0..).zip(&fleet.links) {
            link.send(ToAgent::Plan(Box::new(PartPlan {
                words: words.clone(),
                files: files.clone(),
                rank,
                agents,
            })));
        }
        let shared = SharedProgress::new(agents);
        Ok(Self {
            fleet,
            options,
            interrupt,
            members,
            progress,
            shared,
            is_stopped: false,
            pinged_ns: 0,
        })
    }

    /// Waits until all connections are open. Without one of the agents, the load cannot begin.
    fn connect(&mut self) -> Result<(), Error> {
        while self.members.iter().any(|member| matches!(member.stage, Stage::Connecting)) {
            self.next(&mut |_, _| Ok(()))?;
            self.expect_all()?;
            self.progress.show_connecting(&self.shared, self.options.connections);
        }
        let mut first_thread = 0;
        for member in &mut self.members {
            let threads = member.connected.as_ref().map_or(0, |connected| connected.threads);
            member.number_threads(first_thread, threads);
            first_thread += threads;
        }
        self.progress.clear();
        for (member, link) in self.members.iter().zip(&self.fleet.links) {
            for note in member.connected.iter().flat_map(|connected| &connected.notes) {
                let line = format!("agent {}: {note}", link.name);
                if !self.options.output.quiet && self.fleet.said.insert(line.clone()) {
                    console::say(&line);
                }
            }
        }
        Ok(())
    }

    /// Fails if an agent is lost.
    fn expect_all(&self) -> Result<(), Error> {
        for (rank, member) in self.members.iter().enumerate() {
            if let Stage::Lost(why) = &member.stage {
                return match self.interrupt.is_requested() {
                    true => Err(Error::Interrupted),
                    false => Err(self.fleet.error(rank, why)),
                };
            }
        }
        Ok(())
    }

    /// Asks all agents that are here for their times, again and again, and passes on the offsets.
    fn compare_clocks(
        &mut self,
        mut set: impl FnMut(&mut Member, Option<ClockOffset>),
    ) -> Result<(), Error> {
        let begun_ns = self.fleet.clock.now_ns();
        self.members.iter_mut().for_each(|member| member.round_trips.clear());
        let is_asked = |member: &Member| !matches!(member.stage, Stage::Lost(_));
        for round in 1..=ROUND_TRIPS {
            self.ping();
            let waits = |run: &Self| {
                let known = |member: &&Member| is_asked(member);
                run.members.iter().filter(known).any(|member| member.round_trips.len() < round)
            };
            while waits(self) && self.fleet.clock.now_ns() < begun_ns + COMPARING_NS_MAX {
                self.receive(&mut |_, _| Ok(()))?;
                self.lose_silent(&mut |_, _| Ok(()))?;
            }
            let is_late = self.fleet.clock.now_ns() >= begun_ns + COMPARING_NS_MAX;
            if is_late && round >= ROUND_TRIPS_MIN || self.interrupt.is_requested() {
                break;
            }
        }
        for member in &mut self.members {
            let offset = ClockOffset::of(&member.round_trips);
            set(member, offset);
        }
        Ok(())
    }

    /// Says how well the clocks are known, before the first run.
    fn say_offsets(&mut self) {
        let errors = self.members.iter().filter_map(|member| member.offset);
        if let Some(worst_ns) = errors.map(|offset| offset.error_ns).max()
            && !self.options.output.quiet
            && self.fleet.said.insert("clocks".to_owned())
        {
            let agents = self.members.len();
            let bound = duration(worst_ns);
            console::say(&format!("{agents} agents; their clocks are known to ± {}", bound.trim()));
        }
    }

    /// Gives the starting signal, collects what the agents report, and their results.
    fn load(
        &mut self,
        number: u32,
        server: Option<&mut Server>,
        observer: &mut dyn Observer,
    ) -> Result<Results, Error> {
        let options = self.options;
        let trips = self.members.iter().filter_map(|member| member.offset);
        let longest_ns = trips.map(|offset| 2 * offset.error_ns).max().unwrap_or(0);
        let started_unix_s = unix_s() + START_MARGIN.as_secs_f64();
        let start_ns =
            self.fleet.clock.now_ns() + nanoseconds(START_MARGIN) + longest_ns.saturating_mul(2);
        let window = Window::new(start_ns, options.warmup, options.duration);
        for (member, link) in self.members.iter_mut().zip(&self.fleet.links) {
            match member.offset {
                Some(offset) if matches!(member.stage, Stage::Connected) => {
                    link.send(ToAgent::Start { start_ns: offset.to_agent(start_ns) });
                    member.stage = Stage::Loading;
                }
                _ => member.stage = Stage::Lost("its clock could not be compared".to_owned()),
            }
        }
        self.expect_all()?;
        let threads = self.members.iter().map(|member| member.open_threads().len()).sum();
        // No agent takes emptied histograms back.
        let senders = (0..threads).map(|_| mpsc::channel().0).collect();
        observer.run_begins(number, started_unix_s)?;
        let mut collector = Collector::new(options, window, senders, observer, server);
        let lost = self.collect(window, &mut collector)?;
        let (intervals, latencies) = collector.finish();
        Ok(self.results(window, started_unix_s, lost, (intervals, latencies)))
    }

    /// Collects until all have finished or are lost. Returns the results of the lost threads, with
    /// the rank of each.
    fn collect(
        &mut self,
        window: Window,
        collector: &mut Collector<'_>,
    ) -> Result<Vec<(usize, Finished)>, Error> {
        let mut lost = Vec::new();
        let mut latest = 0;
        while self.members.iter().any(Member::is_here) {
            let mut last = None;
            self.next(&mut |report, lost_threads| {
                for thread in lost_threads {
                    collector.lose(*thread)?;
                }
                if let Some(report) = report {
                    latest = latest.max(report.index);
                    last = Some(report);
                }
                Ok(())
            })?;
            if let Some(report) = last {
                // The accounts of lost threads end with the interval that ends the run.
                if report.last && self.open_threads() == 0 {
                    lost = self.close_accounts(window, (latest, report.end_ns), collector)?;
                }
                collector.take(report)?;
            }
            let now_ns = self.fleet.clock.now_ns();
            self.progress.show_load(&self.shared, &window, collector.headline(), now_ns);
        }
        let now_ns = self.fleet.clock.now_ns();
        lost.extend(self.close_accounts(window, (latest + 1, now_ns), collector)?);
        Ok(lost)
    }

    /// Threads of agents that are here, whose last report is missing.
    fn open_threads(&self) -> usize {
        let here = self.members.iter().filter(|member| member.is_here());
        here.map(|member| member.open_threads().len()).sum()
    }

    fn close_accounts(
        &mut self,
        window: Window,
        at: (u64, u64),
        collector: &mut Collector<'_>,
    ) -> Result<Vec<(usize, Finished)>, Error> {
        let mut lost = Vec::new();
        for (rank, member) in self.members.iter_mut().enumerate() {
            if !matches!(member.stage, Stage::Lost(_)) {
                continue;
            }
            let plan = Plan::new(self.options, self.interrupt, member.part);
            for (finished, report) in member.close_accounts(&plan, window, at) {
                collector.take(report)?;
                lost.push((rank, finished));
            }
        }
        Ok(lost)
    }

    fn results(
        &mut self,
        window: Window,
        started_unix_s: f64,
        lost: Vec<(usize, Finished)>,
        (intervals, latencies): (Vec<IntervalRecord>, Latencies),
    ) -> Results {
        let mut finished: Vec<Vec<Finished>> = self.members.iter().map(|_| Vec::new()).collect();
        for (member, finished) in self.members.iter_mut().zip(&mut finished) {
            if let (Stage::Finished(result), Some(offset)) = (&mut member.stage, member.offset) {
                for thread in &mut result.threads {
                    thread.stopped_ns = offset.to_coordinator(thread.stopped_ns);
                }
                finished.append(&mut result.threads);
            }
        }
        lost.into_iter().for_each(|(rank, thread)| finished[rank].push(thread));
        let written = self.members.iter().filter_map(|member| member.connected.as_ref());
        let preloaded = written.map(|connected| connected.preloaded).sum();
        let others = ThreadResults {
            window,
            started_unix_s,
            finished: Vec::new(),
            intervals,
            latencies,
            preloaded,
        };
        Results { finished, others }
    }
}

/// Called with the report of a thread, if there is one, and with the threads that were lost.
type OnReport<'a> = dyn FnMut(Option<IntervalReport>, &[usize]) -> Result<(), Error> + 'a;

/// Messages.
impl Run<'_> {
    /// Waits for a message for a while. Passes on a signal, and looks for agents that are silent.
    fn next(&mut self, on_report: &mut OnReport<'_>) -> Result<(), Error> {
        if self.interrupt.is_requested() && !self.is_stopped {
            self.is_stopped = true;
            self.fleet.links.iter().for_each(|link| link.send(ToAgent::Stop));
        }
        if self.fleet.clock.now_ns() >= self.pinged_ns + PING_INTERVAL_NS {
            self.ping();
        }
        self.receive(on_report)?;
        self.lose_silent(on_report)
    }

    fn ping(&mut self) {
        self.pinged_ns = self.fleet.clock.now_ns();
        // The time is set when the message is written.
        self.fleet.links.iter().for_each(|link| link.send(ToAgent::Ping { sent_ns: 0 }));
    }

    fn receive(&mut self, on_report: &mut OnReport<'_>) -> Result<(), Error> {
        let Event { link: rank, received_ns, news } =
            match self.fleet.events.recv_timeout(PROGRESS_INTERVAL) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            };
        let member = &mut self.members[rank];
        member.heard_ns = received_ns;
        match news {
            News::Message(FromAgent::Pong { sent_ns, agent_ns }) => {
                // The answers to pings during the load are not needed.
                if member.round_trips.len() < ROUND_TRIPS {
                    member.round_trips.push(RoundTrip { sent_ns, received_ns, agent_ns });
                }
            }
            News::Message(FromAgent::Connecting { connected }) => {
                self.shared.set_connected(rank, connected as usize);
            }
            News::Message(FromAgent::Connected(connected)) => {
                self.shared.set_connected(rank, self.options.connections as usize);
                member.connected = Some(*connected);
                member.stage = Stage::Connected;
            }
            News::Message(FromAgent::Interval(report)) => {
                self.shared.set_completed(rank, report.counters.completed);
                match member.take(*report, self.options.load.mode()) {
                    Some(report) => return on_report(Some(report), &[]),
                    None => return self.lose(rank, "it has sent a report of no thread", on_report),
                }
            }
            News::Message(FromAgent::Finished(result)) if result.interrupted => {
                self.lose(rank, "a signal has ended it", on_report)?;
                self.members[rank].end_early(*result);
            }
            News::Message(FromAgent::Finished(result)) => {
                member.stage = Stage::Finished(result);
            }
            News::Message(FromAgent::Failed(why)) => return self.lose(rank, &why, on_report),
            News::Message(FromAgent::Hello(_) | FromAgent::Proof { .. }) => {
                return self.lose(rank, "it has said hello twice", on_report);
            }
            News::Ended(why) => {
                let why = why.unwrap_or_else(|| "its stream has ended".to_owned());
                return self.lose(rank, &why, on_report);
            }
        }
        Ok(())
    }

    /// Loses the agents that have said nothing for too long.
    fn lose_silent(&mut self, on_report: &mut OnReport<'_>) -> Result<(), Error> {
        let now_ns = self.fleet.clock.now_ns();
        for rank in 0..self.members.len() {
            let silent_ns = now_ns.saturating_sub(self.members[rank].heard_ns);
            if self.members[rank].is_here() && silent_ns > SILENCE_NS_MAX {
                let silence = humantime::format_duration(Duration::from_nanos(SILENCE_NS_MAX));
                self.lose(rank, &format!("it said nothing for {silence}"), on_report)?;
            }
        }
        Ok(())
    }

    /// Goes on without an agent. Its threads report nothing more.
    fn lose(&mut self, rank: usize, why: &str, on_report: &mut OnReport<'_>) -> Result<(), Error> {
        // What comes after its results changes nothing.
        if !self.members[rank].is_here() {
            return Ok(());
        }
        self.members[rank].stage = Stage::Lost(why.to_owned());
        self.fleet.links[rank].cut();
        on_report(None, &self.members[rank].open_threads())
    }

    /// The agents' parts of the record.
    fn records(&self, finished: &[Vec<Finished>]) -> Vec<AgentRecord> {
        let fleet = &self.fleet;
        let known = self.members.iter().zip(&fleet.links).zip(&fleet.hellos).zip(finished);
        known
            .map(|(((member, link), hello), threads)| {
                let mut counters = Counters::default();
                threads.iter().for_each(|thread| counters.merge(&thread.recorded.counters));
                member.record(&link.name, hello, self.options.connections, counters)
            })
            .collect()
    }
}
