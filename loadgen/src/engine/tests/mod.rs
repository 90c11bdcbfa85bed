//! What a latency tool must find out, where it can be calculated: the whole loading thread in a
//! simulated world.

mod backlogs;
mod coverage;
mod faults;
mod parts;
mod queues;
mod simulation;
mod stalls;
mod statuses;
mod streams;
mod tls;
mod unsent;
mod websocket;

use std::sync::mpsc;

use self::simulation::Simulation;
use super::collector::Collector;
use super::plan::{Part, Plan};
use super::recorder::Recorded;
use super::reporter::{Reporter, ThreadMessage};
use super::worker::Worker;
use crate::cli::options_from_flags::tests::options;
use crate::clock::nanoseconds;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::{Latencies, Latency, Percentile};
use crate::record::IntervalRecord;
use crate::schedule::Window;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// What a simulated run has found.
struct SimulationResult {
    latencies: Latencies,
    recorded: Recorded,
    intervals: Vec<IntervalRecord>,
}

/// Runs `loadgen run` with these flags in a simulated world.
#[track_caller]
fn simulate(flags: &str, world: Simulation) -> SimulationResult {
    try_to_simulate(flags, world).unwrap()
}

/// As [`simulate`]; an error if the run cannot start.
#[track_caller]
fn try_to_simulate(flags: &str, world: Simulation) -> Result<SimulationResult, Error> {
    let options = options(flags).unwrap();
    let interrupt = Interrupt::never();
    let plan = Plan::new(&options, &interrupt, Part::WHOLE);
    let share = Part::WHOLE.shares(options.connections, 1)[0];
    let mut worker = Worker::new(&plan, share, world);
    worker.connect_all()?;
    let window = Window::new(worker.now_ns(), options.warmup, options.duration);
    let (sender, messages) = mpsc::channel();
    let (histogram_sender, empty_histograms) = mpsc::channel();
    let interval_ns = nanoseconds(options.interval);
    let mut reporter = Reporter::new(0, sender, empty_histograms, window, interval_ns);
    let finished = worker.load(window, &mut reporter).unwrap();
    drop(reporter);
    let mut observer = ();
    let mut collector =
        Collector::new(&options, window, vec![histogram_sender], &mut observer, None);
    for message in messages {
        if let ThreadMessage::Interval(report) = message {
            collector.take(*report).unwrap();
        }
    }
    let (intervals, latencies) = collector.finish();
    assert!(finished.recorded.counters.conserved(), "{:?}", finished.recorded.counters);
    // Little's law holds in any window, for all that was outstanding in it.
    assert_eq!(finished.recorded.outstanding_ns, finished.recorded.served_ns);
    Ok(SimulationResult { latencies, recorded: finished.recorded, intervals })
}

#[track_caller]
fn at(latency: &Latency, percentile: Percentile) -> f64 {
    latency.percentile_ns(percentile).unwrap() as f64
}

/// Asserts that a value is within a share of what it should be.
#[track_caller]
fn expect_within(share: f64, found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() <= share, "found {found}, expected {expected}");
}
