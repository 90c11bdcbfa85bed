//! What the probes of several rates show together.
//!
//! More load makes no response earlier. So what was measured at a rate counts for each lower one
//! that is close to it, too: if the requests of a rate and of those slightly above it meet the
//! objectives together, the rate is good. Near the limit, where each rate alone would need very
//! long probes, none of the measured time is lost.
//!
//! The same holds for the loader's disturbances, which only delay: together with probes that were
//! disturbed, a rate may be good that is not without them.

use super::evidence::Part;
use super::strategy::{ProbeFinding, RateFinding};
use crate::slo::{Metric, Slo};

/// How much higher the rates may be that count for a rate.
const NEIGHBOUR: f64 = 1.1;

/// What was measured at a rate.
#[derive(Debug, Clone)]
pub(super) struct RateParts {
    pub(super) group: u32,
    pub(super) rate_per_s: f64,
    /// By its own probes.
    pub(super) finding: ProbeFinding,
    /// Of probes that were not disturbed.
    pub(super) usable: Option<Part>,
    /// Of those that were, but are not INVALID.
    pub(super) doubtful: Option<Part>,
}

/// What was measured at all rates, rising.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    rates: Vec<RateParts>,
    /// Length of a plain probe.
    plain_s: f64,
    /// How many times as high the rates may be that count for a rate.
    reach: f64,
}

impl Neighbours {
    /// Nothing measured yet, in plain probes of this length.
    pub(super) fn new(objectives: &[Slo], plain_s: f64) -> Self {
        // More load raises the achieved rate.
        let with_load = |slo: &Slo| matches!(slo.metric(), Metric::Rate | Metric::Achieved);
        let reach = if objectives.iter().any(with_load) { 1.0 } else { NEIGHBOUR };
        Self { rates: Vec::new(), plain_s, reach }
    }

    /// Replaces what is known of a rate, and returns what that rate shows now.
    pub(super) fn update(&mut self, parts: RateParts) -> ProbeFinding {
        let same = self.rates.iter().position(|known| known.group == parts.group);
        same.map(|at| self.rates.remove(at));
        let at = self.rates.partition_point(|known| known.rate_per_s < parts.rate_per_s);
        self.rates.insert(at, parts);
        self.finding(at)
    }

    /// What all rates show, rising.
    pub(super) fn findings(&self) -> Vec<RateFinding> {
        let found = self.rates.iter().enumerate().map(|(at, parts)| RateFinding {
            group: parts.group,
            rate_per_s: parts.rate_per_s,
            finding: self.finding(at),
            lean: parts
                .usable
                .as_ref()
                .or(parts.doubtful.as_ref())
                .map(|part| part.lean(self.plain_s)),
        });
        found.collect()
    }

    fn finding(&self, at: usize) -> ProbeFinding {
        let own = &self.rates[at];
        if own.finding != ProbeFinding::Undecided {
            return own.finding;
        }
        let highest_per_s = own.rate_per_s * self.reach;
        let close = self.rates[at..].iter().take_while(|parts| parts.rate_per_s <= highest_per_s);
        let close: Vec<&RateParts> = close.collect();
        let is_good = (1..=close.len()).any(|number| {
            let usable = close[..number].iter().filter_map(|parts| parts.usable.as_ref());
            let doubtful = close[..number].iter().filter_map(|parts| parts.doubtful.as_ref());
            let all: Vec<&Part> = usable.clone().chain(doubtful).collect();
            let usable: Vec<&Part> = usable.collect();
            [usable, all].iter().any(|parts| Part::are_good(parts))
        });
        if is_good { ProbeFinding::Good } else { ProbeFinding::Undecided }
    }
}

#[cfg(test)]
mod tests {
    use ProbeFinding::{Bad, Good, LoaderLimited, Undecided};
    use proptest::prelude::*;

    use super::*;
    use crate::latency::LimitCounts;

    fn neighbours(slo: &str) -> Neighbours {
        Neighbours::new(&[slo.parse().unwrap()], 10.0)
    }

    fn part(count: u64, met: u64) -> Part {
        Part::counted(LimitCounts::new(0.99, count, [met; 2], [count as f64; 2]), 10.0)
    }

    /// What probes that were not disturbed show, of which so many requests were slow.
    fn rate(group: u32, rate_per_s: f64, count: u64, slow: u64) -> RateParts {
        let usable = part(count, count - slow);
        let finding = usable.finding();
        RateParts { group, rate_per_s, finding, usable: Some(usable), doubtful: None }
    }

    fn found(neighbours: &Neighbours) -> Vec<ProbeFinding> {
        neighbours.findings().iter().map(|rate| rate.finding).collect()
    }

    #[test]
    fn a_rate_is_good_by_what_was_measured_slightly_above_it_and_not_by_what_was_below() {
        let mut all = neighbours("p99<1ms");
        assert_eq!(all.update(rate(1, 1_000.0, 1_500, 9)), Undecided);
        assert_eq!(all.update(rate(2, 1_050.0, 9_000, 60)), Good);
        assert_eq!(all.update(rate(3, 1_060.0, 1_500, 9)), Undecided, "more load is later");
        assert_eq!(found(&all), [Good, Good, Undecided]);
    }

    #[test]
    fn a_rate_that_became_good_later_makes_no_lower_one_good_that_is_bad_or_far_below() {
        let mut all = neighbours("p99<1ms");
        assert_eq!(all.update(rate(1, 900.0, 1_500, 9)), Undecided);
        assert_eq!(all.update(rate(2, 1_000.0, 9_000, 180)), Bad);
        assert_eq!(all.update(rate(3, 1_050.0, 1_500, 9)), Undecided);
        assert_eq!(all.update(rate(3, 1_050.0, 90_000, 500)), Good);
        assert_eq!(found(&all), [Undecided, Bad, Good]);
    }

    #[test]
    fn a_good_rate_above_is_only_as_much_evidence_as_its_requests() {
        let mut all = neighbours("p99<1ms");
        all.update(rate(1, 1_000.0, 9_000, 93));
        assert_eq!(all.update(rate(2, 1_050.0, 1_500, 3)), Good);
        assert_eq!(found(&all), [Undecided, Good]);
    }

    #[test]
    fn a_rate_says_nothing_of_lower_ones_where_more_load_helps() {
        for (slo, finding) in [("p99<1ms", Good), ("rate>=1000", Undecided)] {
            let mut all = neighbours(slo);
            all.update(rate(1, 1_000.0, 1_500, 9));
            all.update(rate(2, 1_050.0, 9_000, 60));
            assert_eq!(found(&all)[0], finding, "{slo}");
        }
    }

    #[test]
    fn disturbed_probes_can_only_help_a_rate() {
        let mut all = neighbours("p99<1ms");
        let disturbed = |count, slow| RateParts {
            doubtful: Some(part(count, count - slow)),
            ..rate(1, 1_000.0, 1_500, 9)
        };
        assert_eq!(all.update(disturbed(9_000, 900)), Undecided);
        assert_eq!(all.update(disturbed(9_000, 60)), Good);
        let nothing = RateParts { usable: None, finding: LoaderLimited, ..disturbed(9_000, 60) };
        assert_eq!(all.update(nothing), LoaderLimited, "its own probes show no more");
    }

    /// By counting requests again for every rate.
    fn naive(rates: &[(f64, u64, u64)], at: usize) -> ProbeFinding {
        let of = |count: u64, slow: u64| part(count, count - slow).finding();
        let (own_per_s, count, slow) = rates[at];
        if of(count, slow) != Undecided {
            return of(count, slow);
        }
        let mut rising: Vec<_> = rates
            .iter()
            .filter(|rate| rate.0 >= own_per_s && rate.0 <= own_per_s * NEIGHBOUR)
            .collect();
        rising.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (mut count, mut slow) = (0, 0);
        let is_good = rising.iter().any(|rate| {
            (count, slow) = (count + rate.1, slow + rate.2);
            of(count, slow) == Good
        });
        if is_good { Good } else { Undecided }
    }

    proptest! {
        #[test]
        fn what_rates_show_agrees_with_a_naive_model_in_whatever_order_they_were_measured(
            measured in prop::collection::vec((500..20_000_u64, 0.0..0.02_f64), 1..8),
            order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let rates: Vec<(f64, u64, u64)> = measured
                .iter()
                .zip(0..)
                .map(|(&(count, slow), n)| {
                    (1_000.0 * 1.03_f64.powi(n), count, (slow * count as f64) as u64)
                })
                .collect();
            let mut all = neighbours("p99<1ms");
            for at in order.into_iter().filter(|at| *at < rates.len()) {
                let (rate_per_s, count, slow) = rates[at];
                // Less was known at first.
                all.update(rate(at as u32, rate_per_s, count / 2, slow / 3));
                all.update(rate(at as u32, rate_per_s, count, slow));
            }
            let expected: Vec<_> = (0..rates.len()).map(|at| naive(&rates, at)).collect();
            prop_assert_eq!(found(&all), expected);
        }

        #[test]
        fn a_good_rate_stays_good_if_fewer_requests_were_slow(
            measured in prop::collection::vec((500..20_000_u64, 0.0..0.02_f64), 1..8),
            fewer in 0.0..1.0_f64,
        ) {
            let found_with = |share: f64| {
                let mut all = neighbours("p99<1ms");
                for (&(count, slow), n) in measured.iter().zip(0..) {
                    let slow = (slow * share * count as f64) as u64;
                    all.update(rate(n, 1_000.0 * 1.03_f64.powi(n as i32), count, slow));
                }
                found(&all)
            };
            for (before, after) in found_with(1.0).iter().zip(found_with(fewer)) {
                prop_assert!(*before != Good || after == Good);
            }
        }
    }
}
