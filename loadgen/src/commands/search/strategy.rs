//! The search for the largest good rate: which rate to try next, and when the answer is known.
//!
//! It is pure: it requests probes and receives their results. It neither measures nor waits.
//!
//! ```text
//! rise     from the lowest rate by half until one is not good
//! descend  if already the lowest was not good and the user did not require it
//! bisect   between the largest good and the lowest bad rate, to the tolerance
//! confirm  the largest good rate several times; after a failure 2 % lower, from the beginning
//! ```
//!
//! A rate at which the loader is the limit bounds the search like a bad rate. It ends the search
//! where only a lower rate could follow. If it bounds the answer, the answer is "at least".

use std::fmt;

use serde::{Deserialize, Serialize};

/// Factor between two rates while it rises.
const RISE: f64 = 1.5;

/// Factor between two rates while it descends, and how often: down to an eightieth of the first.
const DESCENT: f64 = 3.0;
const DESCENTS_MAX: u32 = 4;

/// How often an undecided probe is repeated at twice the length before it counts as failed.
const LENGTHENINGS_MAX: u32 = 3;

/// Factor from a rate that was not confirmed to the next, and how often: down to two thirds.
const STEP_DOWN: f64 = 0.98;
const STEPS_DOWN_MAX: u32 = 20;

/// The bounds and the precision of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// The rate to begin with.
    pub(super) from_per_s: f64,
    /// Whether the search tries no lower rate.
    pub(super) from_is_least: bool,
    /// Never exceeded.
    pub(super) to_per_s: f64,
    /// How close the lowest bad rate must be to the largest good one, as a share of that.
    pub(super) tolerance: f64,
    /// How often the answer is confirmed.
    pub(super) confirmations: u32,
}

/// The part of the search that a probe belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Rise,
    Descend,
    Bisect,
    Confirm,
}

/// One measurement to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Probe {
    pub(super) stage: Stage,
    pub(super) rate_per_s: f64,
    /// How many times as long as a plain one.
    pub(super) length: u32,
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProbeFinding {
    /// All objectives are met for certain.
    Good,
    /// One is missed for certain.
    Bad,
    /// Undecided; a longer run may decide it.
    Undecided,
    /// The measurement is not valid: the loader is the limit.
    LoaderLimited,
}

/// As in the file.
impl fmt::Display for ProbeFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Why no higher rate is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Limit {
    /// An objective was missed above it.
    Objective,
    /// Whether the objectives were met above it could not be decided.
    Undecided,
    /// Above it, the measurements were not valid.
    Loader,
    /// No higher rate was requested.
    Highest,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum SearchStep {
    Try(Probe),
    /// The answer. With the loader as the limit it may be confirmed less often than requested.
    Found {
        rate_per_s: f64,
        limit: Limit,
        confirmed: u32,
    },
    /// No rate is good, or none is reliably so.
    NoneIsGood {
        limit: Limit,
    },
}

/// The state of a search.
#[derive(Debug, Clone)]
pub(super) struct Strategy {
    bounds: Bounds,
    next: SearchStep,
    /// The largest rate that was good.
    good_per_s: Option<f64>,
    /// The lowest rate that was not, and why.
    bad: Option<(f64, Limit)>,
    descents: u32,
    confirmed: u32,
    steps_down: u32,
}

impl Strategy {
    /// The beginning of a search.
    pub(super) fn new(bounds: Bounds) -> Self {
        let first = plain(Stage::Rise, bounds.from_per_s.min(bounds.to_per_s));
        Self {
            bounds,
            next: first,
            good_per_s: None,
            bad: None,
            descents: 0,
            confirmed: 0,
            steps_down: 0,
        }
    }

    /// What to do next.
    pub(super) fn next(&self) -> SearchStep {
        self.next
    }

    /// The largest rate that was good so far, confirmed or not.
    pub(super) fn best_per_s(&self) -> Option<f64> {
        self.good_per_s
    }

    /// Takes the finding of the requested probe.
    pub(super) fn found(&mut self, finding: ProbeFinding) {
        let SearchStep::Try(probe) = self.next else { return };
        if finding == ProbeFinding::Undecided && probe.length < 1 << LENGTHENINGS_MAX {
            self.next = SearchStep::Try(Probe { length: 2 * probe.length, ..probe });
            return;
        }
        self.next = match (finding, probe.stage) {
            (ProbeFinding::Good, Stage::Confirm) => self.confirmed(probe.rate_per_s),
            (ProbeFinding::Good, _) => self.good(probe.rate_per_s, probe.stage),
            (ProbeFinding::Bad, stage) => self.bad(probe.rate_per_s, stage, Limit::Objective),
            (ProbeFinding::Undecided, stage) => self.bad(probe.rate_per_s, stage, Limit::Undecided),
            (ProbeFinding::LoaderLimited, stage) => {
                self.bad(probe.rate_per_s, stage, Limit::Loader)
            }
        };
    }

    fn good(&mut self, rate_per_s: f64, stage: Stage) -> SearchStep {
        self.good_per_s = Some(rate_per_s);
        if stage == Stage::Rise && rate_per_s < self.bounds.to_per_s {
            return plain(Stage::Rise, (rate_per_s * RISE).min(self.bounds.to_per_s));
        }
        self.narrow(rate_per_s)
    }

    fn bad(&mut self, rate_per_s: f64, stage: Stage, limit: Limit) -> SearchStep {
        self.bad = Some((rate_per_s, limit));
        match (self.good_per_s, stage) {
            // A loader that is late is no less late at 2 % less.
            (Some(rate_per_s), Stage::Confirm) if limit == Limit::Loader => {
                SearchStep::Found { rate_per_s, limit, confirmed: self.confirmed }
            }
            (None, Stage::Confirm) if limit == Limit::Loader => SearchStep::NoneIsGood { limit },
            (_, Stage::Confirm) => self.step_down(rate_per_s, limit),
            (Some(good_per_s), _) => self.narrow(good_per_s),
            (None, _) => self.descend(rate_per_s, limit),
        }
    }

    /// A lower rate has fewer samples, and a loader that is late is no less late at it: it is only
    /// tried where an objective was missed.
    fn descend(&mut self, rate_per_s: f64, limit: Limit) -> SearchStep {
        let is_over = self.bounds.from_is_least || self.descents == DESCENTS_MAX;
        if is_over || limit != Limit::Objective {
            return SearchStep::NoneIsGood { limit };
        }
        self.descents += 1;
        plain(Stage::Descend, rate_per_s / DESCENT)
    }

    fn narrow(&mut self, good_per_s: f64) -> SearchStep {
        match self.bad {
            Some((bad_per_s, _)) if bad_per_s - good_per_s > self.bounds.tolerance * good_per_s => {
                plain(Stage::Bisect, f64::midpoint(good_per_s, bad_per_s))
            }
            _ => self.confirm(good_per_s),
        }
    }

    fn confirm(&self, rate_per_s: f64) -> SearchStep {
        if self.confirmed < self.bounds.confirmations {
            return plain(Stage::Confirm, rate_per_s);
        }
        let limit = self.bad.map_or(Limit::Highest, |(_, limit)| limit);
        SearchStep::Found { rate_per_s, limit, confirmed: self.confirmed }
    }

    fn confirmed(&mut self, rate_per_s: f64) -> SearchStep {
        self.good_per_s = Some(rate_per_s);
        self.confirmed += 1;
        self.confirm(rate_per_s)
    }

    fn step_down(&mut self, rate_per_s: f64, limit: Limit) -> SearchStep {
        self.confirmed = 0;
        self.steps_down += 1;
        // The rate was good once, but not each time, so it is no answer.
        self.good_per_s = None;
        let lower_per_s = rate_per_s * STEP_DOWN;
        let too_low = self.bounds.from_is_least && lower_per_s < self.bounds.from_per_s;
        if self.steps_down > STEPS_DOWN_MAX || too_low {
            return SearchStep::NoneIsGood { limit };
        }
        plain(Stage::Confirm, lower_per_s)
    }
}

fn plain(stage: Stage, rate_per_s: f64) -> SearchStep {
    SearchStep::Try(Probe { stage, rate_per_s, length: 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assume, proptest};

    use super::*;

    /// More probes than any search may take: 30 rises or 4 descents, 20 halvings, 21 rates to
    /// confirm, and each of these rates four times if undecided.
    const PROBES_MAX: usize = 1_000;

    fn bounds() -> Bounds {
        Bounds {
            from_per_s: 1_000.0,
            from_is_least: false,
            to_per_s: 1e9,
            tolerance: 0.02,
            confirmations: 3,
        }
    }

    /// Searches with an oracle; returns the end and all probes with what they found.
    fn search(
        bounds: Bounds,
        mut oracle: impl FnMut(Probe) -> ProbeFinding,
    ) -> (SearchStep, Vec<(Probe, ProbeFinding)>) {
        let mut strategy = Strategy::new(bounds);
        let mut probes = Vec::new();
        while let SearchStep::Try(probe) = strategy.next() {
            assert!(probes.len() < PROBES_MAX, "it does not end: {probes:?}");
            let finding = oracle(probe);
            probes.push((probe, finding));
            strategy.found(finding);
        }
        (strategy.next(), probes)
    }

    fn up_to(limit_per_s: f64) -> impl Fn(Probe) -> ProbeFinding {
        move |probe| {
            if probe.rate_per_s <= limit_per_s { ProbeFinding::Good } else { ProbeFinding::Bad }
        }
    }

    fn stages(probes: &[(Probe, ProbeFinding)]) -> Vec<Stage> {
        let mut stages: Vec<Stage> = probes.iter().map(|(probe, _)| probe.stage).collect();
        stages.dedup();
        stages
    }

    #[test]
    fn it_rises_bisects_and_confirms() {
        let (end, probes) = search(bounds(), up_to(7_777.0));
        let SearchStep::Found { rate_per_s, limit, confirmed: 3 } = end else { panic!("{end:?}") };
        assert!((7_777.0 / 1.02..=7_777.0).contains(&rate_per_s), "{rate_per_s}");
        assert_eq!(limit, Limit::Objective);
        assert_eq!(stages(&probes), [Stage::Rise, Stage::Bisect, Stage::Confirm]);
        let rates: Vec<f64> = probes.iter().map(|(probe, _)| probe.rate_per_s).collect();
        assert_eq!(rates[..3], [1_000.0, 1_500.0, 2_250.0]);
        assert_eq!(rates[rates.len() - 3..], [rate_per_s; 3]);
    }

    #[test]
    fn the_highest_requested_rate_is_an_answer() {
        let (end, probes) = search(Bounds { to_per_s: 2_000.0, ..bounds() }, up_to(1e8));
        assert_eq!(
            end,
            SearchStep::Found { rate_per_s: 2_000.0, limit: Limit::Highest, confirmed: 3 }
        );
        assert_eq!(stages(&probes), [Stage::Rise, Stage::Confirm]);
    }

    #[test]
    fn it_descends_below_a_first_guess_but_not_below_a_requested_rate() {
        let (end, probes) = search(bounds(), up_to(200.0));
        let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
        assert!((200.0 / 1.02..=200.0).contains(&rate_per_s), "{rate_per_s}");
        assert_eq!(probes[1].0.stage, Stage::Descend);
        let (end, probes) = search(Bounds { from_is_least: true, ..bounds() }, up_to(200.0));
        assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Objective }, 1));
    }

    #[test]
    fn where_nothing_is_good_it_says_so() {
        let (end, probes) = search(bounds(), |_| ProbeFinding::Bad);
        assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Objective }, 5));
    }

    #[test]
    fn an_undecided_probe_is_repeated_longer_and_then_counts_as_failed() {
        let (end, probes) = search(bounds(), |probe| match probe.rate_per_s {
            ..=1_600.0 => ProbeFinding::Good,
            _ => ProbeFinding::Undecided,
        });
        let lengths: Vec<u32> = probes[2..6].iter().map(|(probe, _)| probe.length).collect();
        assert_eq!(lengths, [1, 2, 4, 8]);
        assert!(probes[2..6].iter().all(|(probe, _)| probe.rate_per_s == 2_250.0));
        assert_eq!(probes[6].0.length, 1, "the next rate begins anew");
        assert!(matches!(end, SearchStep::Found { limit: Limit::Undecided, .. }), "{end:?}");
    }

    #[test]
    fn too_few_samples_are_not_sought_at_lower_rates() {
        let (end, probes) = search(bounds(), |_| ProbeFinding::Undecided);
        assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Undecided }, 4));
    }

    #[test]
    fn a_loader_that_is_the_limit_at_once_ends_the_search() {
        let (end, probes) = search(bounds(), |_| ProbeFinding::LoaderLimited);
        assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Loader }, 1));
    }

    #[test]
    fn a_loader_that_is_the_limit_makes_the_answer_at_least() {
        let (end, _) = search(bounds(), |probe| match probe.rate_per_s {
            ..=5_000.0 => ProbeFinding::Good,
            _ => ProbeFinding::LoaderLimited,
        });
        assert!(matches!(end, SearchStep::Found { limit: Limit::Loader, .. }), "{end:?}");
    }

    #[test]
    fn a_loader_that_is_the_limit_while_confirming_ends_the_search_with_what_was_confirmed() {
        let mut confirmations = 0;
        let (end, _) = search(bounds(), |probe| {
            confirmations += u32::from(probe.stage == Stage::Confirm);
            if confirmations == 2 { ProbeFinding::LoaderLimited } else { up_to(3_000.0)(probe) }
        });
        assert!(
            matches!(end, SearchStep::Found { limit: Limit::Loader, confirmed: 1, .. }),
            "{end:?}"
        );
        let mut confirmations = 0;
        let (end, _) = search(bounds(), |probe| {
            confirmations += u32::from(probe.stage == Stage::Confirm);
            match confirmations {
                1 => ProbeFinding::Bad,
                2 => ProbeFinding::LoaderLimited,
                _ => up_to(3_000.0)(probe),
            }
        });
        assert_eq!(end, SearchStep::NoneIsGood { limit: Limit::Loader });
    }

    #[test]
    fn a_server_that_fails_below_the_loader_s_limit_is_the_limit() {
        let (end, _) = search(bounds(), |probe| match probe.rate_per_s {
            ..=5_100.0 => ProbeFinding::Good,
            5_900.0.. => ProbeFinding::LoaderLimited,
            _ => ProbeFinding::Bad,
        });
        assert!(matches!(end, SearchStep::Found { limit: Limit::Objective, .. }), "{end:?}");
    }

    #[test]
    fn a_rate_that_is_not_confirmed_is_stepped_down_from() {
        let mut confirmations = 0;
        let (end, probes) = search(bounds(), |probe| {
            let good = up_to(3_000.0)(probe);
            confirmations += u32::from(probe.stage == Stage::Confirm);
            if confirmations == 2 { ProbeFinding::Bad } else { good }
        });
        let first = probes.iter().find(|(probe, _)| probe.stage == Stage::Confirm).unwrap();
        let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
        assert_eq!(rate_per_s, first.0.rate_per_s * 0.98);
        assert_eq!(confirmations, 2 + 3, "all confirmations are made again");
    }

    #[test]
    fn a_rate_that_is_never_confirmed_is_no_answer() {
        let (end, _) = search(bounds(), |probe| match probe.stage {
            Stage::Confirm => ProbeFinding::Bad,
            _ => up_to(3_000.0)(probe),
        });
        assert_eq!(end, SearchStep::NoneIsGood { limit: Limit::Objective });
    }

    #[test]
    fn without_confirmations_the_bisection_s_answer_stands() {
        let (end, probes) = search(Bounds { confirmations: 0, ..bounds() }, up_to(3_000.0));
        assert!(matches!(end, SearchStep::Found { .. }));
        assert!(probes.iter().all(|(probe, _)| probe.stage != Stage::Confirm));
    }

    proptest! {
        #[test]
        fn a_steady_server_s_limit_is_found_to_within_the_tolerance(
            limit_per_s in 150.0..1e7_f64,
            from_per_s in 100.0..1e5_f64,
            tolerance in 0.001..0.2_f64,
        ) {
            prop_assume!(limit_per_s > from_per_s / 80.0);
            let bounds = Bounds { from_per_s, tolerance, ..bounds() };
            let (end, _) = search(bounds, up_to(limit_per_s));
            let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
            prop_assert!(rate_per_s <= limit_per_s);
            prop_assert!(rate_per_s * (1.0 + tolerance) >= limit_per_s, "{rate_per_s}");
        }

        #[test]
        fn whatever_is_found_it_ends_within_the_bounds_and_confirms_its_answer(
            findings in prop::collection::vec(0..4_u8, 1..300),
            from_per_s in 1.0..1e5_f64,
            from_is_least: bool,
            width in 1.0..1e4_f64,
            confirmations in 0..4_u32,
        ) {
            let to_per_s = from_per_s * width;
            let bounds = Bounds { from_per_s, from_is_least, to_per_s, confirmations, ..bounds() };
            let mut given = findings.iter().cycle();
            let (end, probes) = search(bounds, |_| match given.next().unwrap() {
                0 => ProbeFinding::Good,
                1 => ProbeFinding::Bad,
                2 => ProbeFinding::Undecided,
                _ => ProbeFinding::LoaderLimited,
            });
            for (probe, _) in &probes {
                prop_assert!(probe.rate_per_s <= to_per_s);
                prop_assert!(!from_is_least || probe.rate_per_s >= from_per_s);
                prop_assert!(probe.length <= 8);
            }
            if let SearchStep::Found { rate_per_s, limit, confirmed } = end {
                prop_assert!(confirmed == confirmations || limit == Limit::Loader);
                let good = |(probe, finding): &&(Probe, ProbeFinding)| {
                    probe.rate_per_s == rate_per_s && *finding == ProbeFinding::Good
                };
                let times = probes.iter().filter(good).count();
                prop_assert!(times >= 1.max(confirmed as usize));
            }
        }

        #[test]
        fn a_noisy_server_s_answer_was_good_each_time_it_was_confirmed(
            limit_per_s in 2_000.0..1e6_f64,
            noise in prop::collection::vec(0.95..1.05_f64, 64),
        ) {
            let mut noise = noise.iter().cycle();
            let (end, probes) =
                search(bounds(), |probe| up_to(limit_per_s * noise.next().unwrap())(probe));
            if let SearchStep::Found { rate_per_s, .. } = end {
                prop_assert!(rate_per_s <= limit_per_s * 1.05);
                let last = &probes[probes.len() - 3..];
                let confirmed = last.iter().all(|(probe, finding)| {
                    probe.rate_per_s == rate_per_s && *finding == ProbeFinding::Good
                });
                prop_assert!(confirmed);
            }
        }
    }
}
