//! The search for the largest good rate: which rate to try next, and when the answer is known.
//!
//! It is pure: it requests probes and receives what all rates show. It neither measures nor waits.
//!
//! ```text
//! rise      from the lowest rate by half, as long as a short probe does not speak against it
//! descend   if already the lowest was not good and the user did not require it
//! bisect    between the largest good and the lowest bad rate, to the tolerance; where a rate
//!           between them is undecided, slightly below the estimated limit
//! confirm   the largest good rate by several more probes; if it is bad, bisect below it
//! crossing  the estimated limit
//! ```
//!
//! All probes of a rate form a group, and the evidence of the group decides, with that of rates
//! slightly above it. Near the limit, a rate needs many long probes. So the measured time is spent
//! where it counts for the answer: a little below the limit, as far as that is known by then. The
//! better it is known, the closer to it. Confirmations join the group of their rate: each alone
//! would be too short to decide.
//!
//! A disturbed probe, in which the loader was late or lost its processor, is repeated if it speaks
//! against its rate. Only if that happens each time, the loader is the limit. Then the rate bounds
//! the search like a bad rate, and the search ends where only a lower rate could follow. If such a
//! rate bounds the answer, the answer is "at least".

mod crossing;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::crossing::Crossing;

/// Factor between two rates while it rises.
const RISE: f64 = 1.5;

/// Factor between two rates while it descends, and how often: down to an eightieth of the first.
const DESCENT: f64 = 3.0;
const DESCENTS_MAX: u32 = 4;

/// Longest evidence of a rate, in plain probes, while it rises. If it does not lean to good then,
/// the limit is near.
const RISE_LENGTH_MAX: u32 = 4;

/// The same if no lower rate leans to good.
const FIRST_LENGTH_MAX: u32 = 32;

/// Length of all probes that bisect, in plain probes. It bounds how far below the true limit the
/// answer lies: with twice as much, 0.7 times as far.
const BISECT_LENGTH_MAX: u32 = 256;

/// Longest probe, in plain ones.
const PROBE_LENGTH_MAX: u32 = 32;

/// Least distance from the limit, in standard errors, with which a bad rate bounds the search.
const CERTAIN_ERRORS: f64 = 3.0;

/// How far below the estimated limit it tries, in standard errors of the estimate: first to learn
/// where the limit is, and then, after a share of the time, what is certain to be good.
const BELOW_CROSSING: f64 = 0.5;
const BELOW_CROSSING_AT_END: f64 = 2.5;
const LEARNING_SHARE: f64 = 0.5;

/// If no rate above this share of the wanted one is good, the next is lower by this share of the
/// time that has passed since it stopped to learn.
const LATE_GOOD: f64 = 0.9;
const LATE: f64 = 0.3;

/// Factor from a rate that leans to good to one that becomes good in a few probes.
const FAR_BELOW: f64 = 0.85;

/// Largest standard error of the estimate that is taken seriously.
const ERROR_MAX: f64 = 0.05;

/// A probe is as long as this share of the evidence near its rate. A longer one would go on while
/// a better rate is known already; many short ones would spend the time on warming up.
const NEXT_SHARE: f64 = 0.15;

/// How far the rates are from each other that are near, as a logarithm.
const NEAR: f64 = 0.1;

/// Longest evidence of a rate that is being confirmed while no lower one is good.
const CONFIRM_LENGTH_MAX: u32 = 64;

/// How often a disturbed probe is repeated. If every tenth probe is disturbed, four in a row are
/// one case in ten thousand, and a search has some thirty probes.
const REPEATS_MAX: u32 = 3;

/// Factor from a rate that was not confirmed to the next if none below it is known to be good, and
/// how often: down to two thirds.
const STEP_DOWN: f64 = 0.98;
const STEPS_DOWN_MAX: u32 = 20;

/// The same factor if the time for finding a rate is over: few probes are left for an answer.
const LATE_STEP_DOWN: f64 = 0.95;

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
    /// How many probes confirm the answer.
    pub(super) confirmations: u32,
    /// Length of each, in plain probes.
    pub(super) confirm_length: u32,
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
    /// Of all probes, from 1.
    pub(super) number: u32,
    /// Probes of one group have one rate, and are evidence of it together. From 1.
    pub(super) group: u32,
    pub(super) stage: Stage,
    pub(super) rate_per_s: f64,
    /// How many times as long as a plain one.
    pub(super) length: u32,
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observation {
    /// What its group shows with it.
    pub(super) finding: ProbeFinding,
    /// Whether it was disturbed, so that a repetition may find something else.
    pub(super) disturbed: bool,
}

/// What the probes of a group show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProbeFinding {
    /// All objectives are met for certain.
    Good,
    /// One is missed for certain.
    Bad,
    /// Undecided; a longer run may decide it.
    Undecided,
    /// No measurement of the group is valid: the loader is the limit.
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
    /// The answer. With the loader as the limit, it may be confirmed less often than requested.
    Found {
        rate_per_s: f64,
        limit: Limit,
        confirmed: u32,
    },
    /// No rate is good.
    NoneIsGood {
        limit: Limit,
    },
}

/// What is known about a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateFinding {
    pub(super) group: u32,
    pub(super) rate_per_s: f64,
    pub(super) finding: ProbeFinding,
    /// Where it leans, decided or not; nothing if no measurement is usable.
    pub(super) lean: Option<Lean>,
}

/// To which side of its limits a measurement leans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lean {
    /// How far it is on the good side, in standard errors; negative on the bad one.
    pub(super) errors: f64,
    /// Its length in plain probes.
    pub(super) length: f64,
}

impl RateFinding {
    /// Whether no further probe would change the finding, if it is bad. It is looked at after each
    /// of many probes, and near the limit one of them may be bad by chance.
    fn is_certain(&self) -> bool {
        self.lean.is_none_or(|lean| lean.errors <= -CERTAIN_ERRORS)
    }

    fn leans_to_good(&self) -> bool {
        match self.finding {
            ProbeFinding::Good => true,
            ProbeFinding::Undecided => self.lean.is_some_and(|lean| lean.errors > 0.0),
            ProbeFinding::Bad | ProbeFinding::LoaderLimited => false,
        }
    }
}

/// The state of a search.
#[derive(Debug, Clone)]
pub(super) struct Strategy {
    bounds: Bounds,
    next: SearchStep,
    /// All rates so far, rising.
    rates: Vec<RateFinding>,
    /// The rates that were good after some probe.
    once_good_per_s: Vec<f64>,
    /// Groups so far.
    groups: u32,
    /// Length of the current group's probes.
    length: u32,
    /// Length of all probes that bisect.
    bisected: u32,
    /// How often the current probe was repeated.
    repeats: u32,
    descents: u32,
    /// The rates of the probes that confirm.
    confirming_per_s: Vec<f64>,
    steps_down: u32,
    /// The share of the time that has passed.
    time_share: f64,
}

impl Strategy {
    /// A search that begins with the lowest rate.
    pub(super) fn new(bounds: Bounds) -> Self {
        let rate_per_s = bounds.from_per_s.min(bounds.to_per_s);
        let first = Probe { number: 1, group: 1, stage: Stage::Rise, rate_per_s, length: 1 };
        Self {
            bounds,
            next: SearchStep::Try(first),
            rates: Vec::new(),
            once_good_per_s: Vec::new(),
            groups: 1,
            length: 0,
            bisected: 0,
            repeats: 0,
            descents: 0,
            confirming_per_s: Vec::new(),
            steps_down: 0,
            time_share: 0.0,
        }
    }

    /// Notes which share of the time for finding a rate has passed.
    pub(super) fn time_passed(&mut self, share: f64) {
        self.time_share = share;
    }

    /// What to do next.
    pub(super) fn next(&self) -> SearchStep {
        self.next
    }

    /// The largest rate that is good so far; if none is, the largest that was and is undecided now.
    pub(super) fn best_known_per_s(&self) -> Option<f64> {
        let bad_per_s = self.bad().map_or(f64::INFINITY, |(rate_per_s, _)| rate_per_s);
        let once_good = self.once_good_per_s.iter().copied().filter(|rate| *rate < bad_per_s);
        self.good_per_s().or_else(|| once_good.max_by(f64::total_cmp))
    }

    /// How many probes still confirm the rate, if it stays good; nothing while it looks for one.
    pub(super) fn confirmations_left(&self) -> Option<u32> {
        match self.next {
            SearchStep::Try(Probe { stage: Stage::Confirm, rate_per_s, .. }) => {
                let confirmed = self.confirmations(rate_per_s);
                Some(self.bounds.confirmations.saturating_sub(confirmed).max(1))
            }
            SearchStep::Try(_) => None,
            SearchStep::Found { .. } | SearchStep::NoneIsGood { .. } => Some(0),
        }
    }

    /// The lowest rate that is not good for certain, and why.
    pub(super) fn bad(&self) -> Option<(f64, Limit)> {
        self.rates.iter().find_map(|rate| match rate.finding {
            ProbeFinding::Bad if rate.is_certain() => Some((rate.rate_per_s, Limit::Objective)),
            ProbeFinding::LoaderLimited => Some((rate.rate_per_s, Limit::Loader)),
            _ => None,
        })
    }

    /// Takes the result of the requested probe, and what all rates show with it.
    pub(super) fn found(&mut self, observed: Observation, rates: Vec<RateFinding>) {
        let SearchStep::Try(probe) = self.next else { return };
        let finding = observed.finding;
        let is_against = matches!(finding, ProbeFinding::Bad | ProbeFinding::LoaderLimited);
        if observed.disturbed && is_against && self.repeats < REPEATS_MAX {
            self.repeats += 1;
            self.next = Self::again(probe, probe.length);
            return;
        }
        self.repeats = 0;
        self.length += probe.length;
        let was_good =
            self.rate(probe.group).is_some_and(|rate| rate.finding == ProbeFinding::Good);
        self.rates = rates;
        self.once_good_per_s.extend(self.good_per_s());
        self.next = match probe.stage {
            Stage::Rise | Stage::Descend => self.after_first_probes(probe, finding),
            Stage::Bisect => {
                self.bisected += probe.length;
                self.narrow(probe)
            }
            Stage::Confirm if finding == ProbeFinding::LoaderLimited => {
                self.loader_is_limit(probe, was_good)
            }
            Stage::Confirm => {
                self.confirming_per_s.push(probe.rate_per_s);
                self.after_confirmation(probe, finding)
            }
        };
    }

    /// Gives up the requested probe, for which there is no time. Whether it can confirm what
    /// is good, or a rate that is far enough below one that leans to good.
    pub(super) fn give_up(&mut self) -> bool {
        let SearchStep::Try(probe) = self.next else { return false };
        let leaning = self.below_bad().rfind(|rate| rate.leans_to_good());
        let Some(leaning_per_s) = leaning.map(|rate| rate.rate_per_s) else { return false };
        if probe.stage == Stage::Confirm {
            return false;
        }
        self.repeats = 0;
        self.bisected = BISECT_LENGTH_MAX;
        self.next = if self.good().is_some() {
            self.settle(probe)
        } else {
            let least_per_s = if self.bounds.from_is_least { self.bounds.from_per_s } else { 0.0 };
            let lower_per_s = (leaning_per_s * FAR_BELOW).max(least_per_s);
            self.probe(probe, Stage::Confirm, lower_per_s, self.bounds.confirm_length)
        };
        true
    }

    /// Whether the time for finding a rate is over.
    fn is_late(&self) -> bool {
        self.time_share >= 1.0
    }

    fn rate(&self, group: u32) -> Option<&RateFinding> {
        self.rates.iter().find(|rate| rate.group == group)
    }

    /// The largest good rate below the lowest bad one.
    fn good(&self) -> Option<RateFinding> {
        self.below_bad().rfind(|rate| rate.finding == ProbeFinding::Good).copied()
    }

    fn good_per_s(&self) -> Option<f64> {
        self.good().map(|good| good.rate_per_s)
    }

    /// The rates below the lowest bad one, rising.
    fn below_bad(&self) -> impl DoubleEndedIterator<Item = &RateFinding> {
        let bad_per_s = self.bad().map_or(f64::INFINITY, |(rate_per_s, _)| rate_per_s);
        self.rates.iter().filter(move |rate| rate.rate_per_s < bad_per_s)
    }

    /// One more probe of the same group.
    fn again(probe: Probe, length: u32) -> SearchStep {
        SearchStep::Try(Probe { number: probe.number + 1, length, ..probe })
    }

    /// The next probe, of a new rate or of one that was tried.
    fn probe(&mut self, last: Probe, stage: Stage, rate_per_s: f64, length: u32) -> SearchStep {
        let known = self.rates.iter().find(|rate| rate.rate_per_s == rate_per_s);
        let group = known.map(|rate| rate.group).unwrap_or_else(|| {
            self.groups += 1;
            self.groups
        });
        if group != last.group {
            self.length = 0;
        }
        SearchStep::Try(Probe { number: last.number + 1, group, stage, rate_per_s, length })
    }

    /// While it rises or descends: it goes on by where a rate leans, and need not be certain.
    fn after_first_probes(&mut self, probe: Probe, finding: ProbeFinding) -> SearchStep {
        let rate_per_s = probe.rate_per_s;
        if self.rate(probe.group).is_some_and(RateFinding::leans_to_good) {
            if probe.stage == Stage::Descend || rate_per_s >= self.bounds.to_per_s {
                return self.narrow(probe);
            }
            let higher_per_s = (rate_per_s * RISE).min(self.bounds.to_per_s);
            return self.probe(probe, Stage::Rise, higher_per_s, 1);
        }
        let has_lower = self.below_bad().any(RateFinding::leans_to_good);
        let length_max = if has_lower { RISE_LENGTH_MAX } else { FIRST_LENGTH_MAX };
        let limit = match finding {
            ProbeFinding::Undecided | ProbeFinding::Good if self.length < length_max => {
                return Self::again(probe, self.length.min(length_max - self.length));
            }
            ProbeFinding::Undecided | ProbeFinding::Good => Limit::Undecided,
            ProbeFinding::Bad => Limit::Objective,
            ProbeFinding::LoaderLimited => Limit::Loader,
        };
        if has_lower {
            return self.narrow(probe);
        }
        // A lower rate has fewer samples, and a loader that is late is no less late at it: it is
        // only tried where an objective was missed.
        let is_over = self.bounds.from_is_least || self.descents == DESCENTS_MAX;
        if is_over || limit != Limit::Objective {
            return SearchStep::NoneIsGood { limit };
        }
        self.descents += 1;
        self.probe(probe, Stage::Descend, rate_per_s / DESCENT, 1)
    }

    /// The next rate between the largest good and the lowest bad one.
    fn narrow(&mut self, last: Probe) -> SearchStep {
        let good_per_s = self.good_per_s();
        let bad_per_s = self.bad().map(|(rate_per_s, _)| rate_per_s);
        let is_narrow = |low_per_s: f64, high_per_s: f64| {
            high_per_s - low_per_s <= self.bounds.tolerance * low_per_s
        };
        let is_done = match (good_per_s, bad_per_s) {
            (Some(good_per_s), Some(bad_per_s)) => is_narrow(good_per_s, bad_per_s),
            (Some(good_per_s), None) => good_per_s >= self.bounds.to_per_s,
            _ => false,
        };
        if is_done || self.bisected >= BISECT_LENGTH_MAX {
            return self.settle(last);
        }
        let least_per_s = good_per_s.unwrap_or(0.0);
        let undecided = self.below_bad().filter(|rate| rate.rate_per_s > least_per_s);
        let undecided: Vec<RateFinding> = undecided.copied().collect();
        if undecided.is_empty() {
            return match (good_per_s, bad_per_s) {
                (Some(good_per_s), Some(bad_per_s)) => {
                    let middle_per_s = f64::midpoint(good_per_s, bad_per_s);
                    self.probe(last, Stage::Bisect, middle_per_s, 1)
                }
                // It did not rise so far because the first probe of the rate leaned to bad.
                (Some(good_per_s), None) => {
                    let higher_per_s = (good_per_s * RISE).min(self.bounds.to_per_s);
                    self.probe(last, Stage::Rise, higher_per_s, 1)
                }
                _ => self.settle(last),
            };
        }
        let low = undecided.iter().rfind(|rate| rate.leans_to_good()).map(|rate| rate.rate_per_s);
        let low_per_s = low.or(good_per_s);
        let above = |rate: &&RateFinding| low_per_s.is_none_or(|low| rate.rate_per_s > low);
        let high = undecided.iter().find(above).map(|rate| rate.rate_per_s);
        let low_or_first_per_s = low_per_s.unwrap_or(undecided[0].rate_per_s);
        let risen_per_s = (low_or_first_per_s * RISE).min(self.bounds.to_per_s);
        let high_per_s = high.or(bad_per_s).unwrap_or(risen_per_s);
        let centre_per_s = low_per_s.map_or(high_per_s, |low| f64::midpoint(low, high_per_s));
        let half = 1.0 + self.bounds.tolerance / 2.0;
        let target_per_s = match Crossing::near(&self.rates, centre_per_s) {
            Some(crossing) => {
                let wanted_per_s = self.below(crossing, least_per_s);
                wanted_per_s.max(low_or_first_per_s / RISE)
            }
            // Without an estimate, halve the range that it must be in.
            None => match low_per_s {
                Some(low_per_s) if !is_narrow(low_per_s, high_per_s) => centre_per_s,
                _ if low_per_s == good_per_s => return self.settle(last),
                _ => low_per_s.unwrap_or(high_per_s),
            },
        };
        let highest_per_s = bad_per_s.map_or(risen_per_s, |bad_per_s| bad_per_s / half);
        let target_per_s = target_per_s.max(least_per_s * half).min(highest_per_s);
        if target_per_s <= least_per_s {
            return self.settle(last);
        }
        let far = |rate: &RateFinding| (rate.rate_per_s / target_per_s).ln().abs();
        let known = undecided.iter().min_by(|one, other| far(one).total_cmp(&far(other)));
        let known = known.filter(|rate| far(rate) < half.ln());
        let rate_per_s = known.map_or(target_per_s, |rate| rate.rate_per_s);
        let near = self.below_bad().filter(|rate| far(rate) < NEAR);
        let evidence: f64 = near.filter_map(|rate| rate.lean).map(|lean| lean.length).sum();
        let length = (NEXT_SHARE * evidence) as u32;
        self.probe(last, Stage::Bisect, rate_per_s, length.clamp(1, PROBE_LENGTH_MAX))
    }

    /// The rate below the estimated limit that is worth its time now.
    fn below(&self, crossing: Crossing, good_per_s: f64) -> f64 {
        let bisected = f64::from(self.bisected) / f64::from(BISECT_LENGTH_MAX);
        let late = self.time_share.max(bisected) - LEARNING_SHARE;
        let errors = if late < 0.0 { BELOW_CROSSING } else { BELOW_CROSSING_AT_END };
        let wanted_per_s = crossing.rate_per_s * (-errors * crossing.error.min(ERROR_MAX)).exp();
        // The fewer time is left, the lower must a rate be to become good in it.
        let lower = if good_per_s < wanted_per_s * LATE_GOOD { late.max(0.0) * LATE } else { 0.0 };
        wanted_per_s * (1.0 - lower)
    }

    /// Confirms the largest good rate, or ends.
    fn settle(&mut self, last: Probe) -> SearchStep {
        let Some(good) = self.good() else { return self.step_down(last) };
        let confirmed = self.confirmations(good.rate_per_s);
        if confirmed >= self.bounds.confirmations {
            return self.answer(good.rate_per_s, confirmed);
        }
        self.probe(last, Stage::Confirm, good.rate_per_s, self.bounds.confirm_length)
    }

    /// How many probes confirm a rate: those of rates above it do, too.
    fn confirmations(&self, rate_per_s: f64) -> u32 {
        let bad_per_s = self.bad().map_or(f64::INFINITY, |(bad_per_s, _)| bad_per_s);
        let range = rate_per_s..bad_per_s;
        self.confirming_per_s.iter().filter(|rate| range.contains(rate)).count() as u32
    }

    fn after_confirmation(&mut self, probe: Probe, finding: ProbeFinding) -> SearchStep {
        match finding {
            ProbeFinding::Undecided if self.good().is_none() && self.is_late() => {
                self.step_down(probe)
            }
            // All confirmations together decide.
            ProbeFinding::Undecided
                if self.confirmations(probe.rate_per_s) < self.bounds.confirmations =>
            {
                Self::again(probe, self.bounds.confirm_length)
            }
            ProbeFinding::Undecided
                if self.good().is_none() && self.length < CONFIRM_LENGTH_MAX =>
            {
                Self::again(probe, self.length.min(CONFIRM_LENGTH_MAX - self.length))
            }
            ProbeFinding::Bad if self.good().is_some() => self.narrow(probe),
            _ => self.settle(probe),
        }
    }

    /// A loader that is late is no less late at a slightly lower rate.
    fn loader_is_limit(&mut self, probe: Probe, was_good: bool) -> SearchStep {
        let limit = Limit::Loader;
        let rate_per_s = probe.rate_per_s;
        let confirmed = self.confirming_per_s.iter().filter(|rate| **rate >= rate_per_s).count();
        match self.good_per_s() {
            _ if was_good => SearchStep::Found { rate_per_s, limit, confirmed: confirmed as u32 },
            Some(rate_per_s) => SearchStep::Found { rate_per_s, limit, confirmed: 0 },
            None => SearchStep::NoneIsGood { limit },
        }
    }

    fn answer(&self, rate_per_s: f64, confirmed: u32) -> SearchStep {
        let is_undecided = self.below_bad().any(|rate| {
            rate.finding == ProbeFinding::Undecided
                && rate.rate_per_s > rate_per_s * (1.0 + self.bounds.tolerance)
        });
        let limit = match self.bad() {
            _ if is_undecided => Limit::Undecided,
            Some((_, limit)) => limit,
            None if rate_per_s < self.bounds.to_per_s => Limit::Undecided,
            None => Limit::Highest,
        };
        SearchStep::Found { rate_per_s, limit, confirmed }
    }

    /// Without a good rate, it tries slightly lower ones.
    fn step_down(&mut self, last: Probe) -> SearchStep {
        self.steps_down += 1;
        let factor = if self.is_late() { LATE_STEP_DOWN } else { STEP_DOWN };
        let lower_per_s = last.rate_per_s * factor;
        let is_least = self.bounds.from_is_least && lower_per_s < self.bounds.from_per_s;
        if is_least || self.steps_down > STEPS_DOWN_MAX {
            let limit = self.bad().map_or(Limit::Undecided, |(_, limit)| limit);
            return SearchStep::NoneIsGood { limit };
        }
        self.probe(last, Stage::Confirm, lower_per_s, self.bounds.confirm_length)
    }
}
