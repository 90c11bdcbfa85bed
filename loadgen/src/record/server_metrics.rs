//! What the server said of itself while it was measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::{P50, P99, P999, Percentile};

/// Most counters in a record.
const COUNTERS_MAX: usize = 500;

/// The growth of a server's own metrics, from before the first connection to after the last reply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerMetricsRecord {
    pub(crate) address: String,
    /// How often they were read.
    pub(crate) reads: u64,
    /// How often they could not be read.
    pub(crate) failed_reads: u64,
    pub(crate) first_failure: Option<String>,
    /// Seconds from the first to the last successful read.
    pub(crate) wall_s: f64,
    /// Whether a counter went back: another process answered.
    pub(crate) restarted: bool,
    /// evshard's timings of all its shards: `handoff`, `loop_lag`, `callback`.
    pub(crate) timings: BTreeMap<String, ServerTiming>,
    /// By how much each counter grew, of those that did.
    pub(crate) counters: BTreeMap<String, f64>,
    /// How many further counters grew.
    pub(crate) counters_left_out: u64,
    /// From each successful read to the next.
    pub(crate) intervals: Vec<ServerMetricsInterval>,
}

/// The times that a server measured, as a histogram of few buckets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerTiming {
    pub(crate) count: u64,
    /// The bound of the bucket in which the percentile lies: it is smaller or equal. Null without
    /// enough samples, and in the last bucket, which has no bound.
    pub(crate) p50_at_most_ns: Option<u64>,
    pub(crate) p99_at_most_ns: Option<u64>,
    pub(crate) p999_at_most_ns: Option<u64>,
    /// The bounds of the buckets in nanoseconds, and how many times lie in each alone. Empty ones
    /// are left out, and the last one has no bound.
    pub(crate) buckets: Vec<(Option<u64>, u64)>,
}

/// The time between two reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerMetricsInterval {
    /// Its end in seconds since 1970.
    pub(crate) unix_s: f64,
    pub(crate) length_s: f64,
    /// Processor time of the server, if it counts that.
    pub(crate) cpu_s: Option<f64>,
    /// Of each timing, as in [`ServerTiming`].
    pub(crate) p99_at_most_ns: BTreeMap<String, u64>,
}

impl ServerTiming {
    /// The times in these buckets, whose bounds rise.
    pub(crate) fn of_buckets(buckets: Vec<(Option<u64>, u64)>) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let at_most = |percentile: Percentile| {
            let rank = (percentile.quantile * count as f64).ceil() as u64;
            let mut below = 0;
            let bucket = buckets.iter().find(|(_, count)| {
                below += count;
                below >= rank
            });
            bucket.filter(|_| count >= percentile.samples_min)?.0
        };
        let [p50_at_most_ns, p99_at_most_ns, p999_at_most_ns] = [P50, P99, P999].map(at_most);
        Self { count, p50_at_most_ns, p99_at_most_ns, p999_at_most_ns, buckets }
    }

    fn sum(&self, other: &Self) -> Self {
        // A bucket without a bound comes last.
        let key = |bound: Option<u64>| (bound.is_none(), bound);
        let mut buckets = BTreeMap::new();
        for &(bound, count) in self.buckets.iter().chain(&other.buckets) {
            *buckets.entry(key(bound)).or_default() += count;
        }
        Self::of_buckets(buckets.into_iter().map(|((_, bound), count)| (bound, count)).collect())
    }
}

impl ServerMetricsRecord {
    /// Those of all runs; nothing if none has any.
    pub(crate) fn sum<'a>(runs: impl Iterator<Item = Option<&'a Self>>) -> Option<Self> {
        runs.flatten().cloned().reduce(|mut all, run| {
            all.reads += run.reads;
            all.failed_reads += run.failed_reads;
            all.first_failure = all.first_failure.or(run.first_failure);
            all.wall_s += run.wall_s;
            all.restarted |= run.restarted;
            for (name, timing) in run.timings {
                let sum = all.timings.get(&name).map_or_else(|| timing.clone(), |t| t.sum(&timing));
                all.timings.insert(name, sum);
            }
            all.counters_left_out = all.counters_left_out.max(run.counters_left_out);
            all.add_counters(run.counters);
            all.intervals.extend(run.intervals);
            all
        })
    }

    /// Adds the growth of counters.
    pub(crate) fn add_counters(&mut self, growth: impl IntoIterator<Item = (String, f64)>) {
        for (name, more) in growth {
            *self.counters.entry(name).or_default() += more;
        }
    }

    /// Leaves out the counters beyond the limit.
    pub(crate) fn limit_counters(&mut self) {
        self.counters_left_out += self.counters.len().saturating_sub(COUNTERS_MAX) as u64;
        while self.counters.len() > COUNTERS_MAX {
            self.counters.pop_last();
        }
    }

    /// The growth of all counters with this name, whatever their labels.
    pub(crate) fn counter(&self, name: &str) -> Option<f64> {
        let is_it = |series: &str| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        let found = self.counters.iter().filter(|(series, _)| is_it(series));
        found.map(|(_, growth)| *growth).reduce(|all, growth| all + growth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_the_bound_of_its_bucket() {
        let timing =
            ServerTiming::of_buckets(vec![(Some(1_000), 900), (Some(5_000), 95), (None, 5)]);
        assert_eq!((timing.count, timing.p50_at_most_ns), (1_000, Some(1_000)));
        assert_eq!(timing.p99_at_most_ns, Some(5_000));
        assert_eq!(timing.p999_at_most_ns, None, "too few samples, and no bound");
        let slow = ServerTiming::of_buckets(vec![(Some(1_000), 300), (None, 100)]);
        assert_eq!((slow.p50_at_most_ns, slow.p99_at_most_ns), (Some(1_000), None));
        assert_eq!(ServerTiming::of_buckets(Vec::new()), ServerTiming::default());
    }

    #[test]
    fn runs_add_their_buckets_and_counters() {
        let run = |name: &str, count| ServerMetricsRecord {
            reads: 3,
            timings: BTreeMap::from([(
                "callback".to_owned(),
                ServerTiming::of_buckets(vec![(Some(2_000), count), (None, 1)]),
            )]),
            counters: BTreeMap::from([(name.to_owned(), 2.0)]),
            ..Default::default()
        };
        let runs = [run("a{b=\"1\"}", 10), run("a", 5)];
        let all = ServerMetricsRecord::sum(runs.iter().map(Some).chain([None])).unwrap();
        assert_eq!(all.timings["callback"].buckets, [(Some(2_000), 15), (None, 2)]);
        assert_eq!((all.reads, all.counter("a"), all.counter("b")), (6, Some(4.0), None));
        assert_eq!(ServerMetricsRecord::sum([None, None].into_iter()), None);
    }
}
