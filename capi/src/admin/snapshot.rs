//! A copy of all records at one moment, as the pages show it.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;

use super::observed::Observed;
use crate::record::functions::FunctionTimes;
use crate::record::histogram::Times;
use crate::record::reasons::{REASONS, Reasons};
use crate::record::slow::place;
use crate::record::{Phase, Record, now_ns};
use crate::symbols;

/// Functions that each list shows.
const FUNCTIONS_SHOWN: usize = 20;
/// Slow callbacks of all bases that are shown.
const SLOW_SHOWN: usize = 32;
/// Names that are kept. A name costs reading the program's file.
const NAMES_MAX: usize = 4096;

/// The names of functions that were looked up already.
#[derive(Default)]
pub(super) struct Names(HashMap<u64, String>);

#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) program: String,
    pub(super) pid: u32,
    pub(super) version: &'static str,
    pub(super) observed_ns: u64,
    /// Whether children of the process have pages of their own.
    pub(super) children_have_pages: bool,
    pub(super) slow_limit_ns: u64,
    pub(super) bases: Vec<BaseSnapshot>,
    /// By their total time.
    pub(super) functions: Vec<FunctionSnapshot>,
    /// By their longest call.
    pub(super) longest: Vec<FunctionSnapshot>,
    /// The last slow callbacks, the newest first.
    pub(super) slow_callbacks: Vec<SlowSnapshot>,
}

#[derive(Debug, Serialize)]
pub(super) struct BaseSnapshot {
    pub(super) base: u64,
    pub(super) backend: &'static str,
    /// The kernel's id of the thread that runs the loop, or ran it last.
    pub(super) thread: Option<u64>,
    pub(super) state: State,
    pub(super) state_ns: u64,
    /// The callback that runs now.
    pub(super) running: Option<Running>,
    pub(super) turns: u64,
    pub(super) callbacks: u64,
    pub(super) calls: Calls,
    pub(super) waiting_ns: u64,
    pub(super) callback_ns: u64,
    pub(super) loop_ns: u64,
    /// The same three times without the current phase.
    #[serde(skip)]
    pub(super) ended_ns: [u64; 3],
    pub(super) events: Events,
    pub(super) system_calls: SystemCalls,
    pub(super) wait_errors: u64,
    pub(super) refused_descriptors: u64,
    pub(super) slow_callbacks: u64,
    pub(super) lag: Quantiles,
    pub(super) timer_lateness: Quantiles,
    pub(super) callback_times: Quantiles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Stopped,
    Looping,
    Waiting,
    Calling,
}

#[derive(Debug, Serialize)]
pub(super) struct Running {
    pub(super) function: String,
    pub(super) reason: String,
}

/// Calls by reason.
#[derive(Debug)]
pub(super) struct Calls(pub(super) [(&'static str, u64); REASONS.len()]);

/// What is pending or active, as of the last wait.
#[derive(Debug, Serialize)]
pub(super) struct Events {
    pub(super) descriptors: usize,
    pub(super) signals: usize,
    pub(super) timeouts: usize,
    pub(super) active: usize,
    /// `EVENT_BASE_COUNT_ADDED` and `EVENT_BASE_COUNT_VIRTUAL`.
    pub(super) added: usize,
    #[serde(rename = "virtual")]
    pub(super) held: usize,
}

/// System calls of the base itself, as of the last wait.
#[derive(Debug, Serialize)]
pub(super) struct SystemCalls {
    pub(super) waits: u64,
    /// Changes of interest passed to the kernel. With epoll each is a call.
    pub(super) changes: u64,
    /// Waits that were ended from outside, by a write to an eventfd.
    pub(super) notifications: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) count: u64,
    pub(super) mean_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
    #[serde(skip)]
    pub(super) times: Times,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct FunctionSnapshot {
    pub(super) function: String,
    pub(super) calls: u64,
    pub(super) total_ns: u64,
    pub(super) max_ns: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct SlowSnapshot {
    pub(super) base: u64,
    pub(super) function: String,
    pub(super) took_ns: u64,
    pub(super) reason: String,
    /// How long ago it ended.
    pub(super) ago_ns: u64,
}

impl Names {
    fn of(&mut self, address: u64) -> String {
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        self.0.entry(address).or_insert_with(|| symbols::name(address)).clone()
    }
}

impl Snapshot {
    pub(super) fn take(observed: &Observed, names: &mut Names) -> Self {
        let records = observed.records();
        let (functions, longest) = functions(&records, names);
        let bases = records.iter().map(|record| BaseSnapshot::of(record, names)).collect();
        Self {
            program: observed.program.clone(),
            pid: observed.process,
            version: env!("CARGO_PKG_VERSION"),
            // Read last: no base has observed more.
            observed_ns: observed.begin.elapsed().as_nanos() as u64,
            children_have_pages: observed.path_has_pid,
            slow_limit_ns: observed.slow_limit_ns,
            bases,
            functions,
            longest,
            slow_callbacks: slow_callbacks(&records, names),
        }
    }
}

impl BaseSnapshot {
    fn of(record: &Record, names: &mut Names) -> Self {
        let ((now, spent_ns), numbers) = (record.phases(), record.numbers());
        let (memberships, counts, stats) = (numbers.memberships, numbers.counts(), numbers.stats);
        let running = (now.phase == Phase::Callback).then(|| Running {
            function: names.of(record.functions.address(now.slot)),
            reason: place(now.reasons, now.fd),
        });
        Self {
            base: record.number(),
            backend: record.backend,
            thread: record.thread(),
            state: State::of(now.phase),
            state_ns: now.for_ns,
            running,
            turns: record.turns(),
            callbacks: record.callback_times.copy().count,
            calls: Calls(REASONS.map(|(reason, name)| (name, record.calls(reason)))),
            waiting_ns: spent_ns[Phase::Wait as usize],
            callback_ns: spent_ns[Phase::Callback as usize],
            loop_ns: spent_ns[Phase::Loop as usize],
            ended_ns: [Phase::Wait, Phase::Callback, Phase::Loop]
                .map(|phase| record.ended_ns(phase)),
            events: Events {
                descriptors: memberships.descriptors,
                signals: memberships.signals,
                timeouts: memberships.timeouts,
                active: counts.active,
                added: counts.added,
                held: counts.held,
            },
            system_calls: SystemCalls {
                waits: record.turns() + stats.repeated_waits,
                changes: stats.changes,
                notifications: stats.notified_waits,
            },
            wait_errors: stats.wait_errors,
            refused_descriptors: record.refused(),
            slow_callbacks: record.slow.count(),
            lag: Quantiles::of(record.lag.copy()),
            timer_lateness: Quantiles::of(record.lateness.copy()),
            callback_times: Quantiles::of(record.callback_times.copy()),
        }
    }
}

impl State {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Stopped => Self::Stopped,
            Phase::Loop => Self::Looping,
            Phase::Wait => Self::Waiting,
            Phase::Callback => Self::Calling,
        }
    }
}

impl Quantiles {
    pub(super) fn of(times: Times) -> Self {
        Self {
            count: times.count,
            mean_ns: times.mean_ns(),
            p50_ns: times.quantile_ns(0.5),
            p99_ns: times.quantile_ns(0.99),
            max_ns: times.max_ns,
            times,
        }
    }
}

impl Calls {
    pub(super) fn of(&self, reason: Reasons) -> u64 {
        let number = REASONS.iter().position(|(known, _)| *known == reason);
        number.map_or(0, |number| self.0[number].1)
    }
}

impl Serialize for Calls {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

/// The functions of all bases: those with the longest total times, and those with the longest
/// calls.
fn functions(
    records: &[impl AsRef<Record>],
    names: &mut Names,
) -> (Vec<FunctionSnapshot>, Vec<FunctionSnapshot>) {
    let mut by_address: HashMap<u64, FunctionTimes> = HashMap::new();
    for function in records.iter().flat_map(|record| record.as_ref().functions.copy()) {
        let sum = by_address.entry(function.address).or_insert(FunctionTimes {
            calls: 0,
            total_ns: 0,
            max_ns: 0,
            ..function
        });
        sum.calls += function.calls;
        sum.total_ns += function.total_ns;
        sum.max_ns = sum.max_ns.max(function.max_ns);
    }
    let mut all: Vec<FunctionTimes> = by_address.into_values().collect();
    let mut first_by = |key: fn(&FunctionTimes) -> u64| {
        all.sort_by_key(|function| (Reverse(key(function)), function.address));
        let first = all.iter().take(FUNCTIONS_SHOWN).map(|function| FunctionSnapshot {
            function: names.of(function.address),
            calls: function.calls,
            total_ns: function.total_ns,
            max_ns: function.max_ns,
        });
        first.collect()
    };
    (first_by(|function| function.total_ns), first_by(|function| function.max_ns))
}

/// The last slow callbacks of all bases, the newest first.
fn slow_callbacks(records: &[impl AsRef<Record>], names: &mut Names) -> Vec<SlowSnapshot> {
    let mut all = Vec::new();
    for record in records.iter().map(AsRef::as_ref) {
        let calls = record.slow.copy().unwrap_or_default();
        all.extend(calls.into_iter().map(|call| (record.number(), call)));
    }
    all.sort_by_key(|(_, call)| Reverse(call.ended_ns));
    let now_ns = now_ns();
    let first = all.into_iter().take(SLOW_SHOWN).map(|(base, call)| SlowSnapshot {
        base,
        function: names.of(call.address),
        took_ns: call.took_ns,
        reason: call.place(),
        ago_ns: now_ns.saturating_sub(call.ended_ns),
    });
    first.collect()
}
