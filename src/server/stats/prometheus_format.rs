//! The text format of Prometheus, version 0.0.4: families of samples, each with help and type.

use std::fmt::{self, Display, Write};

use super::Timing;

/// Upper bounds of histograms in nanoseconds: 1, 2 and 5 of each decade from a microsecond to ten
/// seconds. They are fixed, so that histograms of all times and machines can be added up.
const BOUNDS_NS: [u64; 22] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// The type of a family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Builds the text.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// The samples of one name. All of them are written before the next family begins.
#[derive(Debug)]
pub(super) struct Family<'a> {
    name: &'a str,
    text: &'a mut String,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = Escaped { text: help, quotes: false };
        put(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { name, text: &mut self.text }
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.write("", labels, value);
    }

    /// Writes the samples of one histogram, in seconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, timing: &Timing) {
        let mut bucket = |bound: &str, count: u64| {
            self.write("_bucket", &[labels, &[("le", bound)]].concat(), count);
        };
        for (bound, count) in BOUNDS_NS.into_iter().zip(timing.at_most(BOUNDS_NS)) {
            bucket(&seconds(bound).to_string(), count);
        }
        bucket("+Inf", timing.count());
        self.write("_sum", labels, timing.sum_ns() as f64 / 1e9);
        self.write("_count", labels, timing.count());
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        put(self.text, format_args!("{}{suffix}", self.name));
        for (index, (name, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let value = Escaped { text: value, quotes: true };
            put(self.text, format_args!("{before}{name}=\"{value}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        put(self.text, format_args!("{after} {value}\n"));
    }
}

/// Nanoseconds in the unit that Prometheus asks for.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn put(text: &mut String, part: fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes everything");
}

/// Escapes backslashes and line ends, and quotes where they would end the text.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.quotes => f.write_str("\\\""),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped_as_each_needs() {
        let mut text = Exposition::default();
        text.family("a", Kind::Gauge, "text \"\\\n").sample(&[("b", "\"\\\n"), ("c", "é")], 1.5);
        assert_eq!(
            text.into_text(),
            "# HELP a text \"\\\\\\n\n# TYPE a gauge\na{b=\"\\\"\\\\\\n\",c=\"é\"} 1.5\n"
        );
    }

    #[test]
    fn a_histogram_counts_upwards_and_ends_with_everything() {
        let mut timing = Timing::default();
        [900, 3_000, 3_000, 20_000_000_000].iter().for_each(|&time| timing.record(time));
        let mut text = Exposition::default();
        text.family("t_seconds", Kind::Histogram, "h").histogram(&[("shard", "0")], &timing);
        let text = text.into_text();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        has(r#"t_seconds_bucket{shard="0",le="0.000001"} 1"#);
        has(r#"t_seconds_bucket{shard="0",le="0.000002"} 1"#);
        has(r#"t_seconds_bucket{shard="0",le="0.000005"} 3"#);
        has(r#"t_seconds_bucket{shard="0",le="10"} 3"#);
        has(r#"t_seconds_bucket{shard="0",le="+Inf"} 4"#);
        has(r#"t_seconds_count{shard="0"} 4"#);
    }
}
