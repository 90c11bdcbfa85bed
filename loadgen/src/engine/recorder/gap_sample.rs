//! A sample of the gaps between sends.

use crate::schedule::random;

/// Size of a thread's sample. With this size, a distance of 0.02 between distributions is
/// significant.
const GAPS_MAX: usize = 8_192;

/// Part of the seed from which the choice is made.
const CHOICE: u64 = 3 << 40;

/// A sample of the gaps between consecutive sends of one thread, intended and actual.
#[derive(Debug)]
pub(super) struct GapSample {
    pairs: Vec<(u64, u64)>,
    seen: u64,
    /// Intended and actual time of the last request, unless the next gap is left out.
    last: Option<(u64, u64)>,
    key: u64,
}

impl GapSample {
    /// An empty sample.
    pub(super) fn new(seed: u64) -> Self {
        Self { pairs: Vec::new(), seen: 0, last: None, key: random::key(seed, CHOICE) }
    }

    /// Adds the gap before a request that only the loader could have delayed.
    pub(super) fn sent(&mut self, intended_ns: u64, sent_ns: u64) {
        let before = self.last.replace((intended_ns, sent_ns));
        // A request may overtake one of another connection. There is no gap between them.
        if let Some((before_ns, before_sent_ns)) = before
            && intended_ns >= before_ns
        {
            self.add((intended_ns - before_ns, sent_ns.saturating_sub(before_sent_ns)));
        }
    }

    /// Leaves out the next gap: the last request's time does not depend on the loader alone.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Algorithm R (Vitter, 1985): each gap so far is in the sample with the same probability.
    fn add(&mut self, pair: (u64, u64)) {
        let place = self.pairs.len();
        self.seen += 1;
        if place < GAPS_MAX {
            self.pairs.push(pair);
        } else {
            let chosen = random::at(self.key, self.seen) % self.seen;
            if let Some(old) = usize::try_from(chosen).ok().and_then(|at| self.pairs.get_mut(at)) {
                *old = pair;
            }
        }
    }

    /// The sample.
    pub(super) fn into_pairs(self) -> Vec<(u64, u64)> {
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_pairs_of_what_was_intended_and_what_was() {
        let mut sample = GapSample::new(1);
        sample.sent(100, 105);
        sample.sent(150, 160);
        sample.interrupt();
        sample.sent(300, 300);
        sample.sent(290, 301);
        sample.sent(310, 311);
        assert_eq!(sample.into_pairs(), [(50, 55), (20, 10)]);
    }

    #[test]
    fn a_long_run_is_sampled_evenly_in_bounded_memory() {
        let mut sample = GapSample::new(1);
        let mut at_ns = 0;
        for gap in 0..100_000_u64 {
            at_ns += gap;
            sample.sent(at_ns, at_ns);
        }
        let pairs = sample.into_pairs();
        assert_eq!(pairs.len(), GAPS_MAX);
        let mean = pairs.iter().map(|pair| pair.0).sum::<u64>() / pairs.len() as u64;
        assert!((48_500..51_500).contains(&mean), "{mean}");
    }
}
