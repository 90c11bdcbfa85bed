//! The text format of Prometheus, as servers send it.

use std::collections::{BTreeMap, HashMap};

/// Most samples of one text.
const SAMPLES_MAX: usize = 50_000;

/// The samples of a text.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// By their name and labels, as they stand in the text.
    values: BTreeMap<String, f64>,
    /// The types of the metrics, where the text has them.
    types: HashMap<String, String>,
}

impl Samples {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// Why it is none of Prometheus.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut samples = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if let (Some("TYPE"), Some(name), Some(kind)) =
                    (words.next(), words.next(), words.next())
                {
                    samples.types.insert(name.to_owned(), kind.to_owned());
                }
            } else if !line.is_empty() {
                let (series, value) = sample(line)
                    .ok_or_else(|| format!("line {number} is no sample of Prometheus's format"))?;
                samples.values.insert(series.to_owned(), value);
            }
            if samples.values.len() + samples.types.len() > SAMPLES_MAX {
                return Err(format!("it has more than {SAMPLES_MAX} samples"));
            }
        }
        if samples.values.is_empty() {
            return Err("there are no samples in it".to_owned());
        }
        Ok(samples)
    }

    /// Adds the samples of an earlier text that this one lacks: a shard of evshard that does not
    /// answer in time is missing, and its counters are not new when it is there again.
    pub(super) fn carry_over(&mut self, earlier: Self) {
        for (series, value) in earlier.values {
            if self.values.len() < SAMPLES_MAX {
                self.values.entry(series).or_insert(value);
            }
        }
    }

    /// The value of a sample.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// The counters, with the counts and sums of histograms: name with labels, and value.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        let counters = self
            .values
            .iter()
            .filter(|(series, value)| value.is_finite() && self.is_counter(name_of(series)));
        counters.map(|(series, value)| (&**series, *value))
    }

    fn is_counter(&self, name: &str) -> bool {
        let kind = |name: &str| self.types.get(name).map(String::as_str);
        let whole = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum"));
        match kind(name) {
            Some(kind) => kind == "counter",
            None if name.ends_with("_total") => true,
            None => matches!(whole.and_then(kind), Some("histogram" | "summary")),
        }
    }

    /// The buckets of a histogram over all its labels: bounds in nanoseconds, `u64::MAX` for the
    /// last one, and how many values are at most that.
    pub(super) fn buckets(&self, name: &str) -> BTreeMap<u64, f64> {
        let begins = format!("{name}_bucket{{");
        let mut buckets = BTreeMap::new();
        let series = self.values.range(begins.clone()..);
        for (series, value) in series.take_while(|(series, _)| series.starts_with(&begins)) {
            let bound = series.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(bound_s) = bound.and_then(|bound| bound.parse::<f64>().ok()) else { continue };
            if value.is_finite() && *value >= 0.0 {
                // A float that is too large, or infinite, becomes the largest integer.
                *buckets.entry((bound_s * 1e9).round() as u64).or_default() += value;
            }
        }
        buckets
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// The series and the value of a line; nothing if it is no sample. A time stamp is dropped.
fn sample(line: &str) -> Option<(&str, f64)> {
    let name_length = line.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c))?;
    let begins_well = !line.starts_with(|c: char| c.is_ascii_digit());
    let labels_length = match line[name_length..].strip_prefix('{') {
        Some(labels) => end_of_labels(labels)? + 2,
        None => 0,
    };
    let (series, rest) = line.split_at(name_length + labels_length);
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let stamp_is_number = words.next().is_none_or(|stamp| stamp.parse::<f64>().is_ok());
    let is_sample = name_length > 0 && begins_well && stamp_is_number && words.next().is_none();
    is_sample.then_some((series, value))
}

/// Where the brace is that ends labels; one in quotes is part of a value.
fn end_of_labels(labels: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    labels.char_indices().find_map(|(at, c)| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '}' if !is_quoted => return Some(at),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
# HELP a_total Help with # and {
# TYPE a_total counter
a_total{path=\"/x} \\\"y\\\" \",code=\"200\"} 7 1700000000000
a_total 3e2

# TYPE g gauge
g -1.5
# TYPE h_seconds histogram
h_seconds_bucket{shard=\"0\",le=\"0.00002\"} 4
h_seconds_bucket{shard=\"1\",le=\"0.00002\"} 2
h_seconds_bucket{shard=\"0\",le=\"+Inf\"} 5
h_seconds_sum{shard=\"0\"} 0.25
h_seconds_count{shard=\"0\"} 5
untyped_total NaN
bare_total 9
";

    #[test]
    fn counters_are_distinguished_from_gauges_and_buckets_add_up_over_labels() {
        let samples = Samples::parse(TEXT).unwrap();
        let counters: Vec<(&str, f64)> = samples.counters().collect();
        assert_eq!(
            counters,
            [
                ("a_total", 300.0),
                ("a_total{path=\"/x} \\\"y\\\" \",code=\"200\"}", 7.0),
                ("bare_total", 9.0),
                ("h_seconds_count{shard=\"0\"}", 5.0),
                ("h_seconds_sum{shard=\"0\"}", 0.25),
            ]
        );
        assert_eq!(samples.value("g"), Some(-1.5));
        let buckets = samples.buckets("h_seconds");
        assert_eq!(buckets, BTreeMap::from([(20_000, 6.0), (u64::MAX, 5.0)]));
    }

    #[test]
    fn what_is_no_text_of_prometheus_is_refused_with_the_line() {
        for (text, said) in [
            ("", "no samples"),
            ("# TYPE a counter\n", "no samples"),
            ("<html>\n", "line 1"),
            ("a 1\nb\n", "line 2"),
            ("a{b=\"c 1\n", "line 1"),
            ("a one\n", "line 1"),
            ("a 1 2 3\n", "line 1"),
            ("{} 1\n", "line 1"),
            ("9a 1\n", "line 1"),
        ] {
            let complaint = Samples::parse(text).unwrap_err();
            assert!(complaint.contains(said), "{text:?}: {complaint}");
        }
        let many: String = (0..=SAMPLES_MAX).map(|n| format!("a{n} 1\n")).collect();
        assert!(Samples::parse(&many).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z{}\"\\\\ =0-9.#\n+é]{0,80}") {
            if let Ok(samples) = Samples::parse(&text) {
                let _ = (samples.counters().count(), samples.buckets("a"));
            }
        }
    }
}
