//! How the schedules of two sides relate, by the seeds of their runs.
//!
//! Runs of one seed have one schedule (or one sequence of sizes): they show how much the server
//! varies under it, and nothing of how much schedules differ. Two sides of one schedule each, but
//! not the same one, differ even if the servers do not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{RUNS_MIN, Side};
use crate::record::ArgsRecord;
use crate::units;
use crate::wire::Sizes;

/// Which runs of two sides can be compared with which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Schedules {
    /// Schedule and sizes do not depend on the seed.
    Fixed,
    /// All runs of both sides have the same schedule.
    One,
    /// Both sides have the same schedules, several of them: each run of B has a partner in A.
    Same,
    /// The sides have different schedules, several of them.
    Different,
    /// A side has one schedule, which is not that of the other side. There is no verdict.
    NotComparable,
}

impl Schedules {
    /// How those of two sides relate.
    pub(super) fn of(a: &Side, b: &Side) -> Self {
        let depends = |side: &Side| side.records.iter().any(|record| has_choices(&record.args));
        if !depends(a) && !depends(b) {
            return Self::Fixed;
        }
        let (in_a, in_b) = (seeds(a), seeds(b));
        let distinct = |seeds: &[Vec<u64>]| seeds.iter().collect::<BTreeSet<_>>().len();
        let fewest = distinct(&in_a).min(distinct(&in_b));
        match (in_a == in_b, fewest) {
            (true, 0 | 1) => Self::One,
            (true, _) => Self::Same,
            (false, 0 | 1) => Self::NotComparable,
            (false, _) => Self::Different,
        }
    }

    /// Whether several runs of one seed count as one run, because schedules are compared.
    pub(super) fn are_the_unit(self) -> bool {
        matches!(self, Self::Same | Self::Different)
    }

    /// Why there is no verdict, if the schedules are the reason.
    pub(super) fn why_no_verdict(self, a: &Side, b: &Side) -> Option<String> {
        (self == Self::NotComparable).then(|| {
            format!(
                "A has the schedules of {}, and B those of {}; the difference may be that of the \
                 schedules. Measure both sides with the same --seed, or {RUNS_MIN} seeds each",
                shown(a),
                shown(b)
            )
        })
    }
}

/// Whether anything of a plan is chosen at random, by the seed.
fn has_choices(args: &ArgsRecord) -> bool {
    let is_fixed = matches!(args.size.parse(), Ok(Sizes::Fixed(_)));
    args.arrival.as_deref() == Some("poisson") || !is_fixed
}

/// The seeds of all runs, sorted.
fn seeds(side: &Side) -> Vec<Vec<u64>> {
    let mut seeds: Vec<Vec<u64>> = side.seeded_runs().map(|(_, _, seeds)| seeds.to_vec()).collect();
    seeds.sort_unstable();
    seeds
}

/// The seeds of a side as people read them.
pub(super) fn shown(side: &Side) -> String {
    let seeds: BTreeSet<u64> = side.seeded_runs().flat_map(|(_, _, s)| s.to_vec()).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{noun} {}", units::numbers(&seeds))
}

/// Whether the runs of two sides have other seeds.
pub(super) fn differ(a: &Side, b: &Side) -> bool {
    seeds(a) != seeds(b)
}
