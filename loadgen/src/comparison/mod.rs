//! Whether B is faster or slower than A, or the same: the statistics of `loadgen compare`.
//!
//! The unit is the run, not the request. A restart changes the layout of memory, and the thread of
//! each connection. More requests do not average that out.
//!
//! ```text
//! side         the runs of A, or of B
//! judgement    whether B is faster in one metric: medians, their ratio, a rank test
//! differences  what else differs between the sides, field by field
//! text         the comparison as a person reads it
//! ```
//!
//! Several metrics are looked at, so one of them may differ by chance. The p values of the rank
//! tests are corrected for that (Holm): the chance that any metric is called faster or slower
//! although nothing has changed is at most 5 %. Five runs a side still reach that level with six
//! metrics. "Same" needs no correction: it is claimed for each
//! metric alone, and only if the whole confidence interval lies within the tolerance.

mod differences;
mod judgement;
mod side;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

pub(crate) use self::differences::Difference;
use self::judgement::Measured;
pub(crate) use self::judgement::{Finding, Judgement};
pub(crate) use self::side::Side;
pub(crate) use self::text::render;
use crate::exit;
use crate::record::Verdict;
use crate::stats;

/// Name and version of the comparison as JSON. A change that breaks a reader raises the number.
pub(crate) const SCHEMA: &str = "loadgen-compare/1";

/// Fewest runs of a side that a judgement can rest on.
pub(crate) const RUNS_MIN: usize = 5;

/// Two sides, compared.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// Always [`SCHEMA`].
    pub(crate) schema: &'static str,
    pub(crate) a: SideSummary,
    pub(crate) b: SideSummary,
    /// Differences within this share are the same.
    pub(crate) delta: f64,
    /// All metrics together: slower if one is, faster if one is and none is slower, the same if all
    /// are, and otherwise undecided.
    pub(crate) judgement: Judgement,
    pub(crate) findings: Vec<Finding>,
    /// Metrics that are not compared, because only some runs have a value of them.
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
        let measured: Vec<Measured> =
            judgement::METRICS.iter().filter_map(|metric| Measured::of(metric, a, b)).collect();
        let known = |name: &str| measured.iter().any(|measured| measured.name() == name);
        let tried = judgement::METRICS
            .iter()
            .filter(|metric| metric.is_known_to(a) || metric.is_known_to(b));
        let unknown = tried.map(|metric| metric.name).filter(|name| !known(name)).collect();
        let p_values: Vec<f64> = measured.iter().map(Measured::p).collect();
        let corrected = stats::holm(&p_values);
        let findings: Vec<Finding> = measured
            .into_iter()
            .zip(corrected)
            .map(|(measured, p_holm)| measured.judged(p_holm, delta))
            .collect();
        Self {
            schema: SCHEMA,
            a: a.summary(),
            b: b.summary(),
            delta,
            judgement: overall(&findings),
            findings,
            unknown,
            differences: differences::between(a, b),
        }
    }

    /// Whether a side does not show what it claims to, so that nothing can be concluded.
    pub(crate) fn is_invalid(&self) -> bool {
        self.a.verdict == Verdict::Invalid || self.b.verdict == Verdict::Invalid
    }

    /// The exit code of a program that ends with this comparison.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.is_invalid() {
            exit::INVALID
        } else if self.judgement == Judgement::Slower {
            exit::MISSED
        } else {
            exit::OK
        }
    }
}

fn overall(findings: &[Finding]) -> Judgement {
    let any = |wanted: Judgement| findings.iter().any(|finding| finding.judgement == wanted);
    let all = |wanted: Judgement| findings.iter().all(|finding| finding.judgement == wanted);
    if any(Judgement::Slower) {
        Judgement::Slower
    } else if any(Judgement::Faster) {
        Judgement::Faster
    } else if any(Judgement::NotEnoughRuns) || findings.is_empty() {
        Judgement::NotEnoughRuns
    } else if all(Judgement::Same) {
        Judgement::Same
    } else {
        Judgement::Undecided
    }
}
