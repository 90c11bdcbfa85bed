//! The search for the largest good rate: which rate to try next, and when the answer is known.
//!
//! It is pure: it requests probes and receives their results. It neither measures nor waits.
//!
//! ```text
//! rise     from the lowest rate by half until one is not good
//! descend  if already the lowest was not good and the user did not require it
//! bisect   between the largest good and the lowest bad rate, to the tolerance
//! confirm  the largest good rate by several more probes; if it fails, bisect below it
//! ```
//!
//! All probes of a rate form a group, and the evidence of the group decides: histograms and counts
//! of its probes, added. A group that is undecided gets more probes, each as long as all before it.
//! Confirmations join the group of their rate: each alone would be too short to decide.
//!
//! A disturbed probe, in which the loader was late or lost its processor, is repeated. Only if that
//! happens each time, the loader is the limit. Then the rate bounds the search like a bad rate, and
//! the search ends where only a lower rate could follow. If such a rate bounds the answer, the
//! answer is "at least".

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Factor between two rates while it rises.
const RISE: f64 = 1.5;

/// Factor between two rates while it descends, and how often: down to an eightieth of the first.
const DESCENT: f64 = 3.0;
const DESCENTS_MAX: u32 = 4;

/// Longest evidence of an undecided group, in plain probes, before the group counts as failed. It
/// bounds how far below the true limit the answer lies: with twice as much, 0.7 times as far.
const LENGTH_MAX: u32 = 32;

/// The same for a rate that is being confirmed.
const CONFIRM_LENGTH_MAX: u32 = 2 * LENGTH_MAX;

/// Least length of all confirmations together. A rate near the limit may be good by chance in a few
/// short probes; among the rates that a search tries, the largest good one is likely to be such.
const CONFIRM_LENGTH_MIN: u32 = LENGTH_MAX / 2;

/// How often a disturbed probe is repeated. If every tenth probe is disturbed, four in a row are
/// one case in ten thousand, and a search has some thirty probes.
const REPEATS_MAX: u32 = 3;

/// Factor from a rate that was not confirmed to the next if none below it is known to be good, and
/// how often: down to two thirds.
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
    /// How many probes confirm the answer.
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

/// A rate that was good, and the evidence of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GoodRate {
    rate_per_s: f64,
    group: u32,
    /// Length of its evidence, in plain probes.
    length: u32,
}

/// The state of a search.
#[derive(Debug, Clone)]
pub(super) struct Strategy {
    bounds: Bounds,
    next: SearchStep,
    /// All good rates, rising; without those that failed to be confirmed.
    good: Vec<GoodRate>,
    /// The lowest rate that was not good.
    bad: Option<(f64, Limit)>,
    /// Groups so far.
    groups: u32,
    /// Length of the evidence of the current group, in plain probes.
    length: u32,
    /// How often the current probe was repeated.
    repeats: u32,
    descents: u32,
    /// Probes that confirm the current rate.
    confirmed: u32,
    /// Length of each.
    confirm_length: u32,
    steps_down: u32,
}

impl Strategy {
    /// A search that begins with the lowest rate.
    pub(super) fn new(bounds: Bounds) -> Self {
        let rate_per_s = bounds.from_per_s.min(bounds.to_per_s);
        let first = Probe { number: 1, group: 1, stage: Stage::Rise, rate_per_s, length: 1 };
        Self {
            bounds,
            next: SearchStep::Try(first),
            good: Vec::new(),
            bad: None,
            groups: 1,
            length: 0,
            repeats: 0,
            descents: 0,
            confirmed: 0,
            confirm_length: 1,
            steps_down: 0,
        }
    }

    /// What to do next.
    pub(super) fn next(&self) -> SearchStep {
        self.next
    }

    /// The largest rate that was good so far, confirmed or not.
    pub(super) fn best_per_s(&self) -> Option<f64> {
        self.good.last().map(|good| good.rate_per_s)
    }

    /// Takes the result of the requested probe.
    pub(super) fn found(&mut self, observed: Observation) {
        let SearchStep::Try(probe) = self.next else { return };
        let is_good = observed.finding == ProbeFinding::Good;
        if observed.disturbed && !is_good && self.repeats < REPEATS_MAX {
            self.repeats += 1;
            self.next = Self::again(probe, probe.length);
            return;
        }
        self.repeats = 0;
        self.length += probe.length;
        self.next = match (observed.finding, probe.stage) {
            (ProbeFinding::Good | ProbeFinding::Undecided, Stage::Confirm) => {
                self.confirm_again(probe, is_good)
            }
            (ProbeFinding::Good, _) => self.good(probe),
            (ProbeFinding::Undecided, _) if self.length < LENGTH_MAX => {
                Self::again(probe, self.length.min(LENGTH_MAX - self.length))
            }
            (ProbeFinding::Undecided, _) => self.bad(probe, Limit::Undecided),
            (ProbeFinding::Bad, _) => self.bad(probe, Limit::Objective),
            (ProbeFinding::LoaderLimited, _) => self.bad(probe, Limit::Loader),
        };
    }

    /// Gives up the requested probe, for which there is no time: its group stays undecided. Returns
    /// whether there is something else to do.
    pub(super) fn give_up(&mut self) -> bool {
        match self.next {
            SearchStep::Try(probe) if probe.stage != Stage::Confirm && !self.good.is_empty() => {
                self.repeats = 0;
                self.next = self.bad(probe, Limit::Undecided);
                true
            }
            _ => false,
        }
    }

    /// One more probe of the same group.
    fn again(probe: Probe, length: u32) -> SearchStep {
        SearchStep::Try(Probe { number: probe.number + 1, length, ..probe })
    }

    /// The first probe of a rate.
    fn begin(&mut self, last: Probe, stage: Stage, rate_per_s: f64, length: u32) -> SearchStep {
        self.groups += 1;
        self.length = 0;
        let number = last.number + 1;
        SearchStep::Try(Probe { number, group: self.groups, stage, rate_per_s, length })
    }

    fn good(&mut self, probe: Probe) -> SearchStep {
        let Probe { rate_per_s, group, stage, .. } = probe;
        let good = GoodRate { rate_per_s, group, length: self.length };
        self.good.push(good);
        if stage == Stage::Rise && rate_per_s < self.bounds.to_per_s {
            let higher_per_s = (rate_per_s * RISE).min(self.bounds.to_per_s);
            return self.begin(probe, Stage::Rise, higher_per_s, 1);
        }
        self.narrow(probe, good)
    }

    fn bad(&mut self, probe: Probe, limit: Limit) -> SearchStep {
        self.bad = Some((probe.rate_per_s, limit));
        match (self.good.last().copied(), probe.stage) {
            // A loader that is late is no less late at 2 % less.
            (Some(GoodRate { rate_per_s, group, .. }), Stage::Confirm)
                if limit == Limit::Loader =>
            {
                let confirmed = if group == probe.group { self.confirmed } else { 0 };
                SearchStep::Found { rate_per_s, limit, confirmed }
            }
            (None, Stage::Confirm) if limit == Limit::Loader => SearchStep::NoneIsGood { limit },
            (_, Stage::Confirm) => self.step_down(probe, limit),
            (Some(good), _) => self.narrow(probe, good),
            (None, _) => self.descend(probe, limit),
        }
    }

    /// A lower rate has fewer samples, and a loader that is late is no less late at it: it is only
    /// tried where an objective was missed.
    fn descend(&mut self, probe: Probe, limit: Limit) -> SearchStep {
        let is_over = self.bounds.from_is_least || self.descents == DESCENTS_MAX;
        if is_over || limit != Limit::Objective {
            return SearchStep::NoneIsGood { limit };
        }
        self.descents += 1;
        self.begin(probe, Stage::Descend, probe.rate_per_s / DESCENT, 1)
    }

    fn narrow(&mut self, probe: Probe, good: GoodRate) -> SearchStep {
        match self.bad {
            Some((bad_per_s, _))
                if bad_per_s - good.rate_per_s > self.bounds.tolerance * good.rate_per_s =>
            {
                let middle_per_s = f64::midpoint(good.rate_per_s, bad_per_s);
                self.begin(probe, Stage::Bisect, middle_per_s, 1)
            }
            _ => self.confirm(probe, good),
        }
    }

    /// Begins to confirm a rate: the further probes together are at least as long as those before.
    fn confirm(&mut self, last: Probe, good: GoodRate) -> SearchStep {
        let GoodRate { rate_per_s, group, length } = good;
        if self.bounds.confirmations == 0 {
            return self.answer(rate_per_s);
        }
        self.confirmed = 0;
        self.length = length;
        let all = length.max(CONFIRM_LENGTH_MIN);
        self.confirm_length = all.div_ceil(self.bounds.confirmations);
        SearchStep::Try(Probe {
            number: last.number + 1,
            group,
            stage: Stage::Confirm,
            rate_per_s,
            length: self.confirm_length,
        })
    }

    /// After a probe that does not speak against the rate.
    fn confirm_again(&mut self, probe: Probe, is_good: bool) -> SearchStep {
        self.confirmed += 1;
        if self.confirmed < self.bounds.confirmations {
            Self::again(probe, self.confirm_length)
        } else if is_good {
            self.answer(probe.rate_per_s)
        } else if self.length < CONFIRM_LENGTH_MAX {
            Self::again(probe, self.length.min(CONFIRM_LENGTH_MAX - self.length))
        } else {
            self.bad(probe, Limit::Undecided)
        }
    }

    fn answer(&self, rate_per_s: f64) -> SearchStep {
        let limit = self.bad.map_or(Limit::Highest, |(_, limit)| limit);
        SearchStep::Found { rate_per_s, limit, confirmed: self.confirmed }
    }

    /// After a rate that was not confirmed: the search goes on between it and the largest rate that
    /// was good below it. Without one, it tries slightly lower rates.
    fn step_down(&mut self, probe: Probe, limit: Limit) -> SearchStep {
        self.good.retain(|good| good.rate_per_s < probe.rate_per_s);
        if let Some(&good) = self.good.last() {
            return self.narrow(probe, good);
        }
        self.steps_down += 1;
        let lower_per_s = probe.rate_per_s * STEP_DOWN;
        let is_least = self.bounds.from_is_least && lower_per_s < self.bounds.from_per_s;
        if is_least || self.steps_down > STEPS_DOWN_MAX {
            return SearchStep::NoneIsGood { limit };
        }
        self.confirmed = 0;
        self.begin(probe, Stage::Confirm, lower_per_s, self.confirm_length)
    }
}
