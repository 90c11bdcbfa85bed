//! Reports one thread's measurements when an interval ends.

use std::sync::mpsc::{Receiver, Sender};

use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use super::usage;
use crate::latency::Latencies;
use crate::record::Counters;
use crate::schedule::Window;

/// A message of a loading thread to the main thread. The channel closes when all have ended.
#[derive(Debug)]
pub(crate) enum ThreadMessage {
    Connected,
    ConnectFailed,
    Interval(Box<IntervalReport>),
}

/// One thread's part of one interval.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IntervalReport {
    pub(crate) thread: usize,
    /// Number of the interval, from 0 at the start of the run.
    pub(crate) index: u64,
    /// When it ended.
    pub(crate) end_ns: u64,
    /// The counters of the run up to `end_ns`.
    pub(crate) counters: Counters,
    pub(crate) outstanding: u64,
    pub(crate) backlog: u64,
    /// Processor time of the thread within the interval.
    pub(crate) cpu_ns: u64,
    /// Time that the thread stood still within the interval.
    pub(crate) stalled_ns: u64,
    /// Time that it waited for a processor within the interval, if known.
    pub(crate) run_delay_ns: Option<u64>,
    pub(crate) latencies: Box<Latencies>,
    /// Whether this is the thread's last report.
    pub(crate) last: bool,
}

/// The state of a thread at the end of an interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) now_ns: u64,
    pub(crate) outstanding: u64,
    pub(crate) backlog: u64,
}

/// Sends one thread's intervals to the collector.
#[derive(Debug)]
pub(crate) struct Reporter {
    thread: usize,
    sender: Sender<ThreadMessage>,
    /// Emptied histograms from the collector.
    empty_histograms: Receiver<Box<Latencies>>,
    interval_ns: u64,
    index: u64,
    due_ns: u64,
    cpu_ns: u64,
    run_delay_ns: Option<u64>,
}

impl Reporter {
    /// A reporter of `thread`, whose intervals take `interval_ns`. One begins with the measured
    /// part of `window`, so the first one of a warm-up may be shorter.
    pub(crate) fn new(
        thread: usize,
        sender: Sender<ThreadMessage>,
        empty_histograms: Receiver<Box<Latencies>>,
        window: Window,
        interval_ns: u64,
    ) -> Self {
        let warmup_ns = window.measure_from_ns - window.start_ns;
        let first_ns = match warmup_ns % interval_ns {
            0 => interval_ns,
            shorter_ns => shorter_ns,
        };
        let due_ns = window.start_ns.saturating_add(first_ns);
        Self {
            thread,
            sender,
            empty_histograms,
            interval_ns,
            index: 0,
            due_ns,
            cpu_ns: 0,
            run_delay_ns: None,
        }
    }

    /// Begins the first interval of the calling thread.
    pub(crate) fn begin(&mut self) {
        self.cpu_ns = usage::cpu_ns();
        self.run_delay_ns = usage::run_delay_ns();
    }

    /// When the interval ends.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Reports the interval. If the thread could not run when an interval ended, that interval is
    /// part of the one before.
    pub(crate) fn report(&mut self, recorder: &mut Recorder, state: State) {
        self.send_interval(recorder, state, false);
        let passed = state.now_ns.saturating_sub(self.due_ns) / self.interval_ns + 1;
        self.index += passed;
        self.due_ns = self.due_ns.saturating_add(passed.saturating_mul(self.interval_ns));
    }

    /// Reports the last, incomplete interval.
    pub(crate) fn last(&mut self, recorder: &mut Recorder, state: State) {
        self.send_interval(recorder, state, true);
    }

    fn send_interval(&mut self, recorder: &mut Recorder, state: State, last: bool) {
        let (cpu_ns, run_delay_ns) = (usage::cpu_ns(), usage::run_delay_ns());
        let latencies = recorder.take_latencies(self.empty_histograms.try_recv().ok());
        let report = IntervalReport {
            thread: self.thread,
            index: self.index,
            end_ns: state.now_ns,
            counters: recorder.counters().clone(),
            outstanding: state.outstanding,
            backlog: state.backlog,
            cpu_ns: cpu_ns - self.cpu_ns,
            stalled_ns: recorder.take_stalled_ns(),
            run_delay_ns: usage::difference(run_delay_ns, self.run_delay_ns),
            latencies,
            last,
        };
        (self.cpu_ns, self.run_delay_ns) = (cpu_ns, run_delay_ns);
        // Sending fails only when the run has failed and the receiver is gone.
        let _ = self.sender.send(ThreadMessage::Interval(Box::new(report)));
    }
}
