//! A run in this process from start to end, and the part of a run that an agent carries out.

use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::address::{self, Address};
use super::collector::{Collector, Observer};
use super::outcome::{RunOutcome, ThreadResults, conclude};
use super::plan::{Part, Plan};
use super::preload;
use super::progress::Progress;
use super::reporter::{IntervalReport, ThreadMessage};
use super::threads::Threads;
use super::worker::Finished;
use crate::clock::Clock;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::schedule::Window;
use crate::server::Server;

/// Loads the server as planned and returns the result, still without a verdict.
pub(crate) fn run(
    options: &Options,
    interrupt: &Interrupt,
    number: u32,
    mut server: Option<&mut Server>,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, Error> {
    let plan = Plan::new(options, interrupt, Part::WHOLE);
    let mut progress = Progress::new(&options.output, number, options.runs);
    progress.show_preload(options.traffic.key_value.as_ref());
    let prepared = prepare(&plan);
    progress.clear();
    let (address, preloaded) = prepared?;
    let clock = Clock::start();
    let result = thread::scope(|scope| {
        let threads = Threads::spawn(scope, &plan, &address, clock)?;
        let threads = threads.connected(&plan, || {
            progress.show_connecting(&plan.shared_progress, options.connections);
        })?;
        if let Some(server) = &mut server {
            server.begin();
        }
        let server = server.as_deref_mut();
        let result = load(&plan, number, threads, clock, server, observer, &mut progress)?;
        Ok(ThreadResults { preloaded, ..result })
    });
    progress.clear();
    conclude(&plan, number, result?, server)
}

/// Resolves the target, and writes the keys. Returns the address, and how many keys were written.
fn prepare(plan: &Plan<'_>) -> Result<(Address, u64), Error> {
    let (target, timeout) = (plan.options.target.clone(), plan.options.timeout);
    let resolved = plan.interrupt.or(move || address::resolve(&target, timeout));
    let address = resolved.ok_or(Error::Interrupted)??;
    let preloaded = preload::preload(plan, &address)?;
    Ok((address, preloaded))
}

/// Gives the starting signal, and collects what the threads report.
fn load(
    plan: &Plan<'_>,
    number: u32,
    mut threads: Threads<'_>,
    clock: Clock,
    server: Option<&mut Server>,
    observer: &mut dyn Observer,
    progress: &mut Progress,
) -> Result<ThreadResults, Error> {
    let options = plan.options;
    let started_unix_s = unix_s();
    let window = Window::new(clock.now_ns(), options.warmup, options.duration);
    let histogram_senders = threads.start(plan, window);
    // The threads load already: an observer that writes files cannot delay the start.
    let collected = observer.run_begins(number, started_unix_s).and_then(|()| {
        let mut collector = Collector::new(options, window, histogram_senders, observer, server);
        loop {
            match threads.next() {
                Ok(ThreadMessage::Interval(report)) => collector.take(*report)?,
                Ok(ThreadMessage::Connected | ThreadMessage::ConnectFailed) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(collector.finish()),
            }
            let (shared, headline) = (&plan.shared_progress, collector.headline());
            progress.show_load(shared, &window, headline, clock.now_ns());
        }
    });
    if collected.is_err() {
        plan.abandoned.store(true, Ordering::Relaxed);
    }
    let finished = threads.join()?;
    let (intervals, latencies) = collected?;
    Ok(ThreadResults { window, started_unix_s, finished, intervals, latencies, preloaded: 0 })
}

/// Where a part of a run is coordinated. What its threads report goes there.
pub(crate) trait Coordinator {
    /// All connections of this part are open, of `threads` threads, and `preloaded` keys written.
    /// Waits until the load may begin, and returns when it begins, by the clock of the part;
    /// nothing if it does not begin.
    fn connected(&mut self, threads: usize, preloaded: u64) -> Option<u64>;

    /// A thread has reported an interval.
    fn interval(&mut self, report: &IntervalReport);

    /// So many connections are open now.
    fn connecting(&mut self, connected: u64);
}

/// Carries out a part of a run. Its times are those of `clock`.
pub(crate) fn run_part(
    options: &Options,
    interrupt: &Interrupt,
    part: Part,
    clock: Clock,
    coordinator: &mut dyn Coordinator,
) -> Result<Vec<Finished>, Error> {
    let plan = Plan::new(options, interrupt, part);
    let (address, preloaded) = prepare(&plan)?;
    thread::scope(|scope| {
        let threads = Threads::spawn(scope, &plan, &address, clock)?;
        let mut threads = threads
            .connected(&plan, || coordinator.connecting(plan.shared_progress.connected()))?;
        let Some(start_ns) = coordinator.connected(plan.shares().len(), preloaded) else {
            return Err(threads.give_up(&plan));
        };
        let window = Window::new(start_ns, options.warmup, options.duration);
        let histogram_senders = threads.start(&plan, window);
        loop {
            match threads.next() {
                Ok(ThreadMessage::Interval(report)) => {
                    coordinator.interval(&report);
                    let mut latencies = report.latencies;
                    latencies.clear();
                    // A thread that has ended needs no more histograms.
                    let _ = histogram_senders[report.thread].send(latencies);
                }
                Ok(ThreadMessage::Connected | ThreadMessage::ConnectFailed)
                | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return threads.join(),
            }
        }
    })
}

/// Now, in seconds since 1970.
pub(crate) fn unix_s() -> f64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0.0, |time| time.as_secs_f64())
}
