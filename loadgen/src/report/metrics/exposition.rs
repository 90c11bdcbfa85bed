//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::clock::seconds;
use crate::latency::Latency;

/// The bounds of a decade of a histogram's buckets.
const DECADE: [u64; 6] = [10, 15, 20, 30, 50, 70];

/// The decades, as factors of [`DECADE`] in nanoseconds: from 1 µs to 70 s.
const DECADES: [u64; 8] =
    [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// The kind of a metric.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text that grows.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    /// The metric whose samples follow.
    name: &'static str,
}

impl Exposition {
    /// Begins a metric.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.name = name;
        self
    }

    /// Adds a sample to the metric. Labels hold words of loadgen only, which need no escapes.
    pub(super) fn sample(&mut self, labels: &str, value: impl Display) -> &mut Self {
        self.line("", labels, value);
        self
    }

    /// Adds a whole histogram, in seconds. A bucket ends where the latencies' own buckets end, so
    /// its bound is exact to one part in a thousand. Count and sum are exact.
    pub(super) fn histogram(&mut self, latency: &Latency) {
        let mut buckets = latency.buckets().peekable();
        let mut count = 0;
        for bound_ns in DECADES.iter().flat_map(|decade| DECADE.map(|step| decade * step)) {
            while let Some((_, more)) = buckets.next_if(|(highest_ns, _)| *highest_ns <= bound_ns) {
                count += more;
            }
            self.line("_bucket", &format!("le=\"{}\"", seconds(bound_ns)), count);
        }
        self.line("_bucket", "le=\"+Inf\"", latency.count());
        self.line("_sum", "", latency.sum_ns() as f64 / 1e9);
        self.line("_count", "", latency.count());
    }

    fn line(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let name = self.name;
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{name}{suffix}{labels} {value}");
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_of_a_histogram_are_cumulative_and_end_with_all_values() {
        let mut latency = Latency::new();
        for value_ns in [900, 1_900, 1_900, 69_000_000, 65_000_000_000] {
            latency.record(value_ns);
        }
        let mut text = Exposition::default();
        text.family("a_seconds", Kind::Histogram, "Help.").histogram(&latency);
        let text = text.into_text();
        assert!(text.starts_with("# HELP a_seconds Help.\n# TYPE a_seconds histogram\n"), "{text}");
        let bucket = |le: &str| {
            let begins = format!("a_seconds_bucket{{le=\"{le}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&begins)).unwrap_or(&text).to_owned()
        };
        let counts =
            ["0.000001", "0.0000015", "0.000002", "0.05", "0.07", "70", "+Inf"].map(bucket);
        assert_eq!(counts[..5], ["1", "1", "3", "3", "4"]);
        assert_eq!(counts[6], "5");
        assert!(text.contains("a_seconds_count 5\n"), "{text}");
        assert!(text.contains("a_seconds_sum 65.0690047\n"), "{text}");
    }
}
