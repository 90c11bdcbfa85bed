//! When not to believe a measurement, and whether it met its objectives.

mod slo;

pub(crate) use self::slo::Slo;

use crate::environment::Environment;
use crate::record::{ArgsRecord, RunRecord, Validity};

/// Judges one run by what it recorded about itself.
pub(crate) fn judge(_run: &RunRecord, _args: &ArgsRecord, _env: &Environment) -> Validity {
    Validity::valid()
}

/// Judges several runs of one plan: as bad as the worst, with its reasons.
pub(crate) fn judge_all(_runs: &[RunRecord]) -> Validity {
    Validity::valid()
}
