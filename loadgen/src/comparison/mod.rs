//! Whether B is faster or slower than A, or the same: the statistics of `loadgen compare`.
//!
//! The unit is the run, not the request. A restart changes the layout of memory, and the thread of
//! each connection. More requests do not average that out.
//!
//! ```text
//! side         the runs of A, or of B
//! schedules    whether the sides have the same schedules, by the seeds of their runs
//! metrics      the numbers of a run that are compared, and which of them decide
//! judgement    whether B is faster in one metric: the ratio, a rank test
//! differences  what else differs between the sides, field by field
//! text         the comparison as a person reads it
//! ```
//!
//! Several metrics decide, so one of them may differ by chance. The p values of the rank tests are
//! corrected for that (Holm): the chance that any metric is called faster or slower although
//! nothing has changed is at most 5 %. Five runs a side reach that level with six metrics. "Same"
//! needs no correction: it is claimed for each metric alone, and only if the whole confidence
//! interval lies within the tolerance.

mod differences;
mod judgement;
mod metrics;
mod schedules;
mod side;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

pub(crate) use self::differences::Difference;
pub(crate) use self::judgement::{Finding, Judgement, LEVEL};
use self::judgement::{Measured, Test};
pub(crate) use self::metrics::{ComparedMetric, METRICS};
pub(crate) use self::schedules::Schedules;
pub(crate) use self::side::Side;
pub(crate) use self::text::{probability, render};
use crate::exit;
use crate::record::Verdict;
use crate::stats;

/// Name and version of the comparison as JSON. A change that breaks a reader raises the number.
pub(crate) const SCHEMA: &str = "loadgen-compare/2";

/// Fewest runs of a side that a judgement can rest on.
pub(crate) const RUNS_MIN: usize = 5;

/// Two sides, compared.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// Always [`SCHEMA`].
    pub(crate) schema: &'static str,
    pub(crate) a: SideSummary,
    pub(crate) b: SideSummary,
    /// How the schedules of the sides relate.
    pub(crate) schedules: Schedules,
    /// The rank test: "wilcoxon" (of pairs of runs with the same schedule) or "mann-whitney".
    pub(crate) test: &'static str,
    /// Whether the ratios and their intervals are those of pairs.
    pub(crate) paired: bool,
    /// Why the schedules allow no verdict; null if they do.
    pub(crate) no_verdict: Option<String>,
    /// Differences within this share are the same.
    pub(crate) delta: f64,
    /// The metrics that decide together: slower if one is, faster if one is and none is slower, the
    /// same if all are, and otherwise undecided. Nothing can be concluded if a side is INVALID.
    pub(crate) judgement: Judgement,
    pub(crate) findings: Vec<Finding>,
    /// Metrics that are not compared because only some runs have a value of them.
    pub(crate) unknown: Vec<&'static str>,
    /// Differences between plans and machines, which may explain the result.
    pub(crate) differences: Vec<Difference>,
}

/// One side in short.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SideSummary {
    pub(crate) path: String,
    pub(crate) runs: usize,
    /// The worst verdict of its measurements.
    pub(crate) verdict: Verdict,
    /// Whether loader and server shared processors in one of them.
    pub(crate) co_located: bool,
}

impl Comparison {
    /// Compares B with A.
    pub(crate) fn of(a: &Side, b: &Side, delta: f64) -> Self {
        let (complete, unknown): (Vec<&ComparedMetric>, Vec<_>) = METRICS
            .iter()
            .filter(|metric| metric.is_known_to(a) || metric.is_known_to(b))
            .partition(|metric| metric.is_complete_in(a) && metric.is_complete_in(b));
        let deciding = complete.iter().filter(|metric| metric.decides).count();
        let schedules = Schedules::of(a, b);
        let test = Test::of(schedules, a.schedules().min(b.schedules()), deciding);
        let measured: Vec<Measured> =
            complete.into_iter().filter_map(|metric| Measured::of(metric, a, b, test)).collect();
        let p_values = measured.iter().filter(|found| found.metric.decides).map(|found| found.p);
        let mut corrected = stats::holm(&p_values.collect::<Vec<f64>>()).into_iter();
        let findings: Vec<Finding> = measured
            .into_iter()
            .map(|measured| {
                let p_holm = if measured.metric.decides { corrected.next() } else { None };
                measured.judged(p_holm, LEVEL / deciding as f64, delta)
            })
            .collect();
        Self {
            schema: SCHEMA,
            a: a.summary(),
            b: b.summary(),
            schedules,
            test: test.name(),
            paired: test.is_of_pairs(),
            no_verdict: schedules.why_no_verdict(a, b),
            delta,
            judgement: if a.is_invalid() || b.is_invalid() {
                Judgement::Invalid
            } else {
                overall(&findings)
            },
            findings,
            unknown: unknown.into_iter().map(|metric| metric.name).collect(),
            differences: differences::between(a, b),
        }
    }

    /// The exit code of a program that ends with this comparison.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.judgement {
            Judgement::Invalid => exit::INVALID,
            Judgement::Slower => exit::MISSED,
            _ => exit::OK,
        }
    }
}

/// The judgement of the metrics that decide.
fn overall(findings: &[Finding]) -> Judgement {
    let judgements = findings.iter().map(|finding| finding.judgement);
    let deciding: Vec<Judgement> =
        judgements.filter(|&judgement| judgement != Judgement::Shown).collect();
    let any = |wanted: Judgement| deciding.contains(&wanted);
    if any(Judgement::NotComparable) {
        Judgement::NotComparable
    } else if any(Judgement::Slower) {
        Judgement::Slower
    } else if any(Judgement::Faster) {
        Judgement::Faster
    } else if any(Judgement::NotEnoughRuns) || deciding.is_empty() {
        Judgement::NotEnoughRuns
    } else if any(Judgement::Undecided) {
        Judgement::Undecided
    } else {
        Judgement::Same
    }
}
