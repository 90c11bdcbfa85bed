//! Repeated durations: those that deserve a common timeout of the base.
//!
//! A base has at most 256 common timeouts, which last as long as it does. Random durations, of
//! jitter and back-off, must not use them up. So each duration belongs to a bucket by its hash. A
//! bucket has a candidate and its score. A use of the candidate adds one to the score. A use of
//! another duration takes one off, or replaces the candidate if the score is zero. (This is the
//! majority vote of Boyer and Moore.) A candidate with a high score gets a common timeout. Random
//! durations get none, because each is rare among those of its bucket.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::{CommonTimeout, Registry};
use crate::sys::clock::as_ns;

/// Of the 256 common timeouts of a base. The server and the program around it have the others.
const COMMON_MAX: usize = 64;

/// A power of two. A duration wins beside random ones if it has more than a 64th of all uses.
const BUCKETS: usize = 64;

/// The score that wins. A random duration seldom comes eight times before others of its bucket do.
const SCORE_MIN: u32 = 8;

/// See the module's documentation. It needs memory from the first use on: a kilobyte.
#[derive(Debug, Default)]
pub(super) struct RepeatedDurations {
    candidates: Vec<Candidate>,
    common: HashMap<u64, CommonTimeout>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    duration_ns: u64,
    score: u32,
}

impl RepeatedDurations {
    /// Counts a use of this duration. Returns its common timeout, if it has one by now.
    pub(super) fn common_timeout<C>(
        &mut self,
        registry: &mut Registry<C>,
        duration: Duration,
    ) -> Option<CommonTimeout> {
        let duration_ns = as_ns(duration);
        if let Some(&common) = self.common.get(&duration_ns) {
            return Some(common);
        }
        if self.common.len() == COMMON_MAX || !self.wins(duration_ns) {
            return None;
        }
        let common = registry.common_timeout(duration).ok()?;
        self.common.insert(duration_ns, common);
        Some(common)
    }

    /// Counts a use. Returns whether this duration is used so often that it wins.
    fn wins(&mut self, duration_ns: u64) -> bool {
        if self.candidates.is_empty() {
            self.candidates = vec![Candidate::default(); BUCKETS];
        }
        let candidate = &mut self.candidates[bucket(duration_ns)];
        if candidate.duration_ns == duration_ns {
            candidate.score += 1;
        } else if candidate.score > 0 {
            candidate.score -= 1;
        } else {
            *candidate = Candidate { duration_ns, score: 1 };
        }
        let has_won = candidate.duration_ns == duration_ns && candidate.score >= SCORE_MIN;
        if has_won {
            *candidate = Candidate::default();
        }
        has_won
    }
}

/// The highest bits of a product with the golden ratio: durations are multiples of round numbers.
fn bucket(duration_ns: u64) -> usize {
    (duration_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.ilog2())) as usize
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::{Config, EventBase};

    fn base() -> EventBase<()> {
        EventBase::new(Config::default()).unwrap()
    }

    /// How many durations can become common timeouts of this base.
    fn common_timeouts_left(base: &mut EventBase<()>) -> usize {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        (1..).take_while(|years| base.registry().common_timeout(year * *years).is_ok()).count()
    }

    #[test]
    fn a_duration_that_is_used_again_and_again_gets_a_common_timeout() {
        let (mut base, mut durations) = (base(), RepeatedDurations::default());
        let second = Duration::from_secs(1);
        for use_number in 1..SCORE_MIN {
            let common = durations.common_timeout(base.registry(), second);
            assert_eq!(common, None, "use {use_number}");
        }
        let common = durations.common_timeout(base.registry(), second);
        assert_eq!(common, Some(base.registry().common_timeout(second).unwrap()));
        assert_eq!(durations.common_timeout(base.registry(), second), common);
    }

    #[test]
    fn ten_thousand_random_durations_leave_all_common_timeouts_to_others() {
        let (mut base, mut durations) = (base(), RepeatedDurations::default());
        let mut random = fastrand::Rng::with_seed(1);
        // A jitter of some seconds in whole milliseconds: each is used a few times.
        for _ in 0..10_000 {
            let duration = Duration::from_millis(random.u64(1_000..5_000));
            assert_eq!(durations.common_timeout(base.registry(), duration), None);
        }
        assert_eq!(common_timeouts_left(&mut base), 256);
    }

    #[test]
    fn a_duration_that_is_a_tenth_of_all_gets_one_beside_random_ones() {
        let (mut base, mut durations) = (base(), RepeatedDurations::default());
        let mut random = fastrand::Rng::with_seed(1);
        let second = Duration::from_secs(1);
        for use_number in 0..1_000 {
            let jitter = Duration::from_nanos(random.u64(..1_000_000_000));
            let duration = if use_number % 10 == 0 { second } else { jitter };
            let _ = durations.common_timeout(base.registry(), duration);
        }
        assert_eq!(durations.common.keys().copied().collect::<Vec<_>>(), [as_ns(second)]);
    }

    #[test]
    fn no_more_than_64_durations_get_one() {
        let (mut base, mut durations) = (base(), RepeatedDurations::default());
        for seconds in 1..=200 {
            for _ in 0..1_000 {
                let duration = Duration::from_secs(seconds);
                let _ = durations.common_timeout(base.registry(), duration);
            }
        }
        assert_eq!(durations.common.len(), 64);
        assert_eq!(common_timeouts_left(&mut base), 192);
    }

    #[test]
    fn a_base_without_common_timeouts_is_no_error() {
        let (mut base, mut durations) = (base(), RepeatedDurations::default());
        common_timeouts_left(&mut base);
        for _ in 0..1_000 {
            let second = Duration::from_secs(1);
            assert_eq!(durations.common_timeout(base.registry(), second), None);
        }
    }
}
