//! The first thing to read: whether to believe the rest, and whether the objectives were met.

use std::fmt::{self, Write as _};

use super::{Style, WIDTH, wrap};
use crate::record::{Reason, Record, SloRecord, Verdict};

/// Verdict, reasons, labels, objectives.
pub(super) fn write(out: &mut String, record: &Record, style: Style) -> fmt::Result {
    let validity = &record.validity;
    let comment = if record.interrupted { "  INTERRUPTED: these are partial results" } else { "" };
    writeln!(out, "{}{comment}", style.judged(validity.verdict, validity.verdict))?;
    for reason in &validity.reasons {
        write_finding(out, reason)?;
    }
    for label in &validity.labels {
        write_finding(out, label)?;
    }
    for slo in &record.slo {
        write_objective(out, slo, style)?;
    }
    writeln!(out)
}

fn write_finding(out: &mut String, finding: &Reason) -> fmt::Result {
    let sign = if finding.level == Verdict::Valid { "note " } else { "" };
    out.write_str(&wrap("  - ", &format!("{sign}{}: {}", finding.code, finding.text), WIDTH))
}

fn write_objective(out: &mut String, slo: &SloRecord, style: Style) -> fmt::Result {
    let came_to = match slo.met {
        Some(true) => style.judged(Verdict::Valid, "met"),
        Some(false) => style.judged(Verdict::Invalid, "MISSED"),
        None => style.judged(Verdict::Suspect, "not known"),
    };
    writeln!(out, "  slo {}  {came_to}: {}", slo.objective, slo.found)
}
