//! The metrics, in the text format of Prometheus, version 0.0.4.
//!
//! Names end in their unit, those of counters in `_total`. The label `base` numbers the bases.

use std::fmt::{self, Display, Write};

use super::super::snapshot::{BaseSnapshot, Quantiles, Snapshot, State};

/// The bounds of buckets: powers of two of a nanosecond, where the histograms are exact. They are
/// 1 us, 4 us and so on to 17 s.
const BOUND_EXPONENTS: [u32; 13] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34];

/// Name, help, and accessor.
type Metric = (&'static str, &'static str, fn(&BaseSnapshot) -> u64);
type HistogramMetric = (&'static str, &'static str, fn(&BaseSnapshot) -> &Quantiles);

const GAUGES: &[Metric] = &[("evshard_base_running", "1 while the loop runs.", |base| {
    u64::from(base.state != State::Stopped)
})];

const COUNTERS: &[Metric] = &[
    ("evshard_base_turns_total", "Turns of the loop.", |base| base.turns),
    ("evshard_base_callbacks_total", "Callbacks that have returned.", |base| base.callbacks),
    ("evshard_base_waits_total", "Calls that wait for readiness.", |base| base.system_calls.waits),
    ("evshard_base_changes_total", "Changes of interest passed to the kernel.", |base| {
        base.system_calls.changes
    }),
    ("evshard_base_notifications_total", "Waits that were ended from outside.", |base| {
        base.system_calls.notifications
    }),
    ("evshard_base_wait_errors_total", "Waits that failed for a transient reason.", |base| {
        base.wait_errors
    }),
    ("evshard_base_refused_descriptors_total", "Descriptors that the kernel refused.", |base| {
        base.refused_descriptors
    }),
    ("evshard_base_slow_callbacks_total", "Callbacks that reached the limit.", |base| {
        base.slow_callbacks
    }),
];

const HISTOGRAMS: &[HistogramMetric] = &[
    ("evshard_base_callback_seconds", "How long callbacks took.", |base| &base.callback_times),
    (
        "evshard_base_loop_lag_seconds",
        "From the return of a wait to the beginning of each callback it caused.",
        |base| &base.lag,
    ),
    (
        "evshard_base_timer_lateness_seconds",
        "From the moment when a timeout was due to the beginning of its callback.",
        |base| &base.timer_lateness,
    ),
];

/// All metrics.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let bases = &snapshot.bases;
    let mut info = Family::new(&mut text, "evshard_process_info", "gauge", "Always 1.");
    info.sample(&[("program", &snapshot.program), ("version", &snapshot.version)], 1);
    let help = "A base and the thread of its loop; always 1.";
    let mut info = Family::new(&mut text, "evshard_base_info", "gauge", help);
    for base in bases {
        let thread = base.thread.map_or(String::new(), |thread| thread.to_string());
        info.sample(&[("base", &base.base), ("backend", &base.backend), ("thread", &thread)], 1);
    }
    for (kind, metrics) in [("gauge", GAUGES), ("counter", COUNTERS)] {
        for (name, help, value) in metrics {
            let mut family = Family::new(&mut text, name, kind, help);
            bases.iter().for_each(|base| family.sample(&[("base", &base.base)], value(base)));
        }
    }
    put_labelled(&mut text, bases);
    for (name, help, times) in HISTOGRAMS {
        let mut family = Family::new(&mut text, name, "histogram", help);
        bases.iter().for_each(|base| family.histogram(base.base, times(base)));
    }
    put_functions(&mut text, snapshot);
    text
}

/// The families of seconds, and those that have a second label.
fn put_labelled(text: &mut String, bases: &[BaseSnapshot]) {
    let name = "evshard_base_calls_total";
    let help = "Calls by reason. A call with two reasons counts for both.";
    let mut family = Family::new(text, name, "counter", help);
    for base in bases {
        for (reason, calls) in base.calls.0 {
            family.sample(&[("base", &base.base), ("reason", &reason)], calls);
        }
    }
    let help = "How long the callback that runs has run; 0 if none runs.";
    let mut family = Family::new(text, "evshard_base_callback_age_seconds", "gauge", help);
    for base in bases {
        let age_ns = if base.state == State::Calling { base.state_ns } else { 0 };
        family.sample(&[("base", &base.base)], seconds(age_ns));
    }
    let help = "The time of the loop, by what its thread did, without what it does now.";
    let mut family = Family::new(text, "evshard_base_seconds_total", "counter", help);
    for base in bases {
        for (state, ns) in ["waiting", "calling", "looping"].iter().zip(base.ended_ns) {
            family.sample(&[("base", &base.base), ("state", state)], seconds(ns));
        }
    }
    let help = "Events that are pending or active, as of the last wait.";
    let mut family = Family::new(text, "evshard_base_events", "gauge", help);
    for base in bases {
        let events = &base.events;
        for (kind, count) in [
            ("descriptor", events.descriptors),
            ("timeout", events.timeouts),
            ("signal", events.signals),
            ("active", events.active),
            ("virtual", events.held),
        ] {
            family.sample(&[("base", &base.base), ("kind", &kind)], count);
        }
    }
}

/// The functions with the longest total times.
fn put_functions(text: &mut String, snapshot: &Snapshot) {
    let help = "Calls of a function that is among those with the longest total times.";
    let mut family = Family::new(text, "evshard_function_calls_total", "counter", help);
    for of in &snapshot.functions {
        family.sample(&[("function", &of.function)], of.calls);
    }
    let help = "The total time of the same functions.";
    let mut family = Family::new(text, "evshard_function_seconds_total", "counter", help);
    for of in &snapshot.functions {
        family.sample(&[("function", &of.function)], seconds(of.total_ns));
    }
}

/// The samples of one name.
struct Family<'a> {
    name: &'a str,
    text: &'a mut String,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'a str, kind: &str, help: &str) -> Self {
        put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Self { name, text }
    }

    fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.write("", labels, value);
    }

    fn histogram(&mut self, base: u64, of: &Quantiles) {
        for exponent in BOUND_EXPONENTS {
            let bound = seconds(1 << exponent);
            let count = of.times.below_power_of_two(exponent);
            self.write("_bucket", &[("base", &base), ("le", &bound)], count);
        }
        self.write("_bucket", &[("base", &base), ("le", &"+Inf")], of.count);
        self.write("_sum", &[("base", &base)], seconds(of.times.sum_ns));
        self.write("_count", &[("base", &base)], of.count);
    }

    fn write(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        put(self.text, format_args!("{}{suffix}", self.name));
        for (index, (name, label)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let label = label.to_string();
            // The name of a program may have any character.
            let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            put(self.text, format_args!("{before}{name}=\"{label}\""));
        }
        put(self.text, format_args!("}} {value}\n"));
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn put(text: &mut String, part: fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::histogram::Histogram;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        Family::new(&mut text, "a", "gauge", "h").sample(&[("b", &"\"\\\n"), ("c", &1)], 1.5);
        assert_eq!(text, "# HELP a h\n# TYPE a gauge\na{b=\"\\\"\\\\\\n\",c=\"1\"} 1.5\n");
    }

    #[test]
    fn a_histogram_counts_upwards_and_ends_with_everything() {
        let histogram = Histogram::default();
        [1_000, 2_000, 2_000, 1 << 40].iter().for_each(|ns| histogram.record(*ns));
        let mut text = String::new();
        let of = Quantiles::of(histogram.copy());
        Family::new(&mut text, "t_seconds", "histogram", "h").histogram(7, &of);
        for line in [
            "t_seconds_bucket{base=\"7\",le=\"0.000001024\"} 1",
            "t_seconds_bucket{base=\"7\",le=\"0.000004096\"} 3",
            "t_seconds_bucket{base=\"7\",le=\"17.179869184\"} 3",
            "t_seconds_bucket{base=\"7\",le=\"+Inf\"} 4",
            "t_seconds_count{base=\"7\"} 4",
        ] {
            assert!(text.lines().any(|known| known == line), "no {line} in\n{text}");
        }
    }
}
