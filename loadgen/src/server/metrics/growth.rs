//! By how much the metrics of a server have grown between two reads.

use std::collections::BTreeMap;

use super::samples::Samples;

/// Times that evshard measures in its shards: our name, and that of the histogram.
const TIMINGS: [(&str, &str); 3] = [
    ("handoff", "evshard_shard_handoff_seconds"),
    ("loop_lag", "evshard_shard_loop_lag_seconds"),
    ("callback", "evshard_shard_callback_seconds"),
];

/// The processor time of a process, as client libraries of Prometheus name it.
const CPU: &str = "process_cpu_seconds_total";

/// The buckets of one timing: bound in nanoseconds, `u64::MAX` for the last, and the number of
/// times in it alone.
pub(super) type Buckets = BTreeMap<u64, u64>;

/// The growth between two reads.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Growth {
    /// Of the counters that grew.
    pub(super) counters: Vec<(String, f64)>,
    pub(super) timings: BTreeMap<&'static str, Buckets>,
    pub(super) cpu_s: Option<f64>,
    /// Whether a counter went back. It then counts from 0.
    pub(super) restarted: bool,
}

impl Growth {
    pub(super) fn between(before: &Samples, after: &Samples) -> Self {
        let mut growth = Self::default();
        for (series, now) in after.counters() {
            let then = before.value(series).filter(|then| then.is_finite()).unwrap_or(0.0);
            let is_less = now < then;
            growth.restarted |= is_less;
            let more = if is_less { now } else { now - then };
            if more > 0.0 {
                growth.counters.push((series.to_owned(), more));
            }
        }
        growth.cpu_s =
            after.value(CPU).zip(before.value(CPU)).map(|(now, then)| (now - then).max(0.0));
        for (name, histogram) in TIMINGS {
            let buckets = bucket_growth(&before.buckets(histogram), &after.buckets(histogram));
            if !buckets.is_empty() {
                growth.timings.insert(name, buckets);
            }
        }
        growth
    }
}

/// The values that are new in each bucket. Counts that contradict each other add nothing.
fn bucket_growth(before: &BTreeMap<u64, f64>, after: &BTreeMap<u64, f64>) -> Buckets {
    let mut below = 0;
    let mut buckets = Buckets::new();
    for (bound_ns, now) in after {
        let then = before.get(bound_ns).copied().filter(|then| then <= now).unwrap_or(0.0);
        let up_to = (now - then) as u64;
        buckets.insert(*bound_ns, up_to.saturating_sub(below));
        below = below.max(up_to);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(before: &str, after: &str) -> Growth {
        Growth::between(&Samples::parse(before).unwrap(), &Samples::parse(after).unwrap())
    }

    #[test]
    fn counters_that_grew_are_there_and_new_ones_count_from_zero() {
        let found = growth("a_total 5\nb_total 2\ng 1\n", "a_total 7\nb_total 2\nc_total 3\ng 9\n");
        assert_eq!(found.counters, [("a_total".to_owned(), 2.0), ("c_total".to_owned(), 3.0)]);
        assert!(!found.restarted);
    }

    #[test]
    fn a_counter_that_went_back_is_of_another_process() {
        let found = growth("process_cpu_seconds_total 5\n", "process_cpu_seconds_total 2\n");
        assert!(found.restarted);
        assert_eq!(found.counters, [("process_cpu_seconds_total".to_owned(), 2.0)]);
        assert_eq!(found.cpu_s, Some(0.0));
    }

    #[test]
    fn timings_of_all_shards_grow_bucket_by_bucket() {
        let text = |counts: [u32; 6]| {
            let [a, b, c, d, e, f] = counts;
            format!(
                "evshard_shard_loop_lag_seconds_bucket{{shard=\"0\",le=\"0.000001\"}} {a}\n\
                 evshard_shard_loop_lag_seconds_bucket{{shard=\"0\",le=\"0.00001\"}} {b}\n\
                 evshard_shard_loop_lag_seconds_bucket{{shard=\"0\",le=\"+Inf\"}} {c}\n\
                 evshard_shard_loop_lag_seconds_bucket{{shard=\"1\",le=\"0.000001\"}} {d}\n\
                 evshard_shard_loop_lag_seconds_bucket{{shard=\"1\",le=\"0.00001\"}} {e}\n\
                 evshard_shard_loop_lag_seconds_bucket{{shard=\"1\",le=\"+Inf\"}} {f}\n"
            )
        };
        let found = growth(&text([1, 2, 3, 0, 0, 0]), &text([11, 32, 34, 1, 1, 2]));
        let buckets = BTreeMap::from([(1_000, 11), (10_000, 20), (u64::MAX, 2)]);
        assert_eq!(found.timings, BTreeMap::from([("loop_lag", buckets)]));
    }

    #[test]
    fn buckets_that_contradict_each_other_add_nothing() {
        let lies = BTreeMap::from([(1, 50.0), (2, 3.0), (u64::MAX, 60.0)]);
        let found = bucket_growth(&BTreeMap::new(), &lies);
        assert_eq!(found, BTreeMap::from([(1, 50), (2, 0), (u64::MAX, 10)]));
    }
}
