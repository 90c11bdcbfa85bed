//! A recorder of times: the writing side of a histogram, at a few instructions per time.
//!
//! It has the same buckets as the [`Timing`] that it is converted to, so that nothing is lost. It
//! omits what only a reader needs.

use super::timing::{HIGHEST_NS, Timing};

/// Times below this have a bucket each. Above it, every doubling has half as many. So a bucket is
/// less than a hundredth wide, as in HDR with two digits.
const EXACT_BITS: u32 = 8;
const PER_DOUBLING: usize = 1 << (EXACT_BITS - 1);

/// Counts times in buckets.
#[derive(Clone, Debug)]
pub(in crate::server) struct Recorder(Box<[u64]>);

impl Recorder {
    pub(in crate::server) fn new() -> Self {
        Self(vec![0; bucket(HIGHEST_NS) + 1].into_boxed_slice())
    }

    /// Records a time, capped at the maximum.
    #[inline]
    pub(in crate::server) fn record(&mut self, nanoseconds: u64) {
        match self.0.get_mut(bucket(nanoseconds)) {
            Some(count) => *count += 1,
            None => self.record_longest(),
        }
    }

    #[cold]
    fn record_longest(&mut self) {
        if let Some(count) = self.0.last_mut() {
            *count += 1;
        }
    }

    /// The recorded times as a histogram.
    pub(in crate::server) fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            timing.record_many(lowest(bucket), *count);
        }
        timing
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let doublings = (nanoseconds | (1 << (EXACT_BITS - 1))).ilog2() - (EXACT_BITS - 1);
    doublings as usize * PER_DOUBLING + (nanoseconds >> doublings) as usize
}

/// The lowest time of a bucket.
fn lowest(bucket: usize) -> u64 {
    let doublings = (bucket / PER_DOUBLING).saturating_sub(1);
    ((bucket - doublings * PER_DOUBLING) as u64) << doublings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_becomes_what_a_histogram_would_have_recorded(
            times in prop::collection::vec((0_u32..40, any::<u64>()), 1..200),
        ) {
            let (mut recorder, mut histogram) = (Recorder::new(), Timing::default());
            for (bits, random) in times {
                let nanoseconds = random & ((1 << bits) - 1);
                recorder.record(nanoseconds);
                histogram.record(nanoseconds);
            }
            prop_assert_eq!(recorder.timing().percentiles(), histogram.percentiles());
            prop_assert!(recorder.timing().counts().eq(histogram.counts()));
        }

        #[test]
        fn a_bucket_is_less_than_a_hundredth_wide(nanoseconds in 0..=HIGHEST_NS) {
            let bucket = bucket(nanoseconds);
            let (from, to) = (lowest(bucket), lowest(bucket + 1));
            prop_assert!((from..to).contains(&nanoseconds));
            prop_assert!((to - from - 1) * 100 < from.max(1));
        }
    }
}
