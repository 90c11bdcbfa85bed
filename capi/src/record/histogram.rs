//! A histogram of times with relative precision: four buckets for each power of two.

use super::counter::Counter;

/// Buckets for each power of two: a time is known to a quarter of itself.
const PER_OCTAVE: u64 = 4;
const PER_OCTAVE_LOG2: u32 = PER_OCTAVE.ilog2();
/// Times from 2^40 ns on, some 18 minutes, are counted in the last bucket.
const OCTAVES: u64 = 40;
const BUCKETS: usize = ((OCTAVES - 1) * PER_OCTAVE) as usize;

/// Times that the thread of a loop recorded.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_ns: Counter,
    max_ns: Counter,
}

/// A copy of a histogram.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    buckets: Vec<u64>,
    pub(crate) count: u64,
    pub(crate) sum_ns: u64,
    pub(crate) max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| Counter::default());
        Self { buckets, sum_ns: Counter::default(), max_ns: Counter::default() }
    }
}

/// The bucket of a time.
#[inline]
fn bucket_of(ns: u64) -> usize {
    if ns < PER_OCTAVE {
        return ns as usize;
    }
    let octave = ns.ilog2();
    let within = ns >> (octave - PER_OCTAVE_LOG2) & (PER_OCTAVE - 1);
    let bucket = u64::from(octave - PER_OCTAVE_LOG2 + 1) * PER_OCTAVE + within;
    (bucket as usize).min(BUCKETS - 1)
}

/// The first time that belongs to the bucket after this one.
fn end_of(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    let (octave, within) = (next / PER_OCTAVE, next % PER_OCTAVE);
    if octave == 0 { within } else { (PER_OCTAVE + within) << (octave - 1) }
}

impl Histogram {
    #[inline]
    pub(crate) fn record(&self, ns: u64) {
        self.buckets[bucket_of(ns)].add(1);
        self.sum_ns.add(ns);
        self.max_ns.raise_to(ns);
    }

    pub(crate) fn reset(&self) {
        self.buckets.iter().chain([&self.sum_ns, &self.max_ns]).for_each(|counter| counter.set(0));
    }

    pub(crate) fn copy(&self) -> Times {
        let buckets: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        let count = buckets.iter().sum();
        Times { buckets, count, sum_ns: self.sum_ns.get(), max_ns: self.max_ns.get() }
    }
}

impl Times {
    /// A time that this share of the times does not exceed; at most a quarter above the true
    /// percentile. 0 without times.
    pub(crate) fn quantile_ns(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                // The last bucket has no end.
                let is_last = bucket == BUCKETS - 1;
                return if is_last { self.max_ns } else { (end_of(bucket) - 1).min(self.max_ns) };
            }
        }
        0
    }

    /// How many times were shorter than this power of two.
    pub(crate) fn below_power_of_two(&self, exponent: u32) -> u64 {
        let end = bucket_of(1 << exponent);
        self.buckets[..end].iter().sum()
    }

    pub(crate) fn mean_ns(&self) -> u64 {
        self.sum_ns.checked_div(self.count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_after_it_and_within_a_quarter() {
        let around = (0..40).flat_map(|octave| [-1, 0, 1].map(|by| (1_i64 << octave) + by));
        for ns in around.map(|ns| ns.max(0).cast_unsigned()).chain(0..5_000) {
            let bucket = bucket_of(ns);
            let begin = if bucket == 0 { 0 } else { end_of(bucket - 1) };
            if bucket < BUCKETS - 1 {
                assert!((begin..end_of(bucket)).contains(&ns), "{ns} is in bucket {bucket}");
                assert!(end_of(bucket) - begin <= (begin / PER_OCTAVE).max(1), "{ns}");
            } else {
                assert!(ns >= begin, "{ns}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_times_to_a_quarter() {
        let histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(us * 1000));
        let times = histogram.copy();
        assert_eq!((times.count, times.sum_ns, times.max_ns), (1000, 500_500_000, 1_000_000));
        for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let got = times.quantile_ns(share);
            assert!((exact..=exact + exact / 4).contains(&got), "{share}: {got}");
        }
        assert_eq!(times.below_power_of_two(14), 16, "1 to 16 us are below 16,384 ns");
        histogram.reset();
        assert_eq!((histogram.copy().count, histogram.copy().quantile_ns(0.5)), (0, 0));
    }

    #[test]
    fn a_time_that_is_longer_than_all_buckets_is_the_maximum() {
        let histogram = Histogram::default();
        histogram.record(1 << 45);
        assert_eq!(histogram.copy().quantile_ns(0.5), 1 << 45);
    }
}
