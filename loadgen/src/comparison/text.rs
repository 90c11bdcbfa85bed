//! The comparison on the terminal: the conclusion first, then the numbers behind it.

use std::fmt::{self, Write as _};

use super::{Comparison, Finding, Judgement, SideSummary};
use crate::record::Verdict;
use crate::report::text::{Columns, Style, WIDTH, wrap};
use crate::units::counted;

/// The comparison as text.
pub(crate) fn render(comparison: &Comparison, style: Style) -> String {
    let mut text = String::new();
    write_comparison(&mut text, comparison, style).expect("writing to a string cannot fail");
    text
}

fn write_comparison(out: &mut String, comparison: &Comparison, style: Style) -> fmt::Result {
    let delta = format!("{} %", 100.0 * comparison.delta);
    let (level, word) = headline(comparison);
    writeln!(out, "{}: {}", style.judged(level, word), explained(comparison, &delta))?;
    for difference in &comparison.differences {
        let text =
            format!("{} is {} in A and {} in B", difference.field, difference.a, difference.b);
        out.write_str(&wrap("  - differs: ", &text, WIDTH))?;
    }
    writeln!(out)?;
    write_side(out, "A", &comparison.a, style)?;
    write_side(out, "B", &comparison.b, style)?;
    writeln!(out)?;
    let mut columns = Columns::default();
    let title = ["", "A", "B", "B/A", "95 % interval", "p", "p (Holm)", "B is"];
    columns.row(title.map(str::to_owned));
    for finding in &comparison.findings {
        columns.row(row(finding));
    }
    for line in columns.lines() {
        writeln!(out, "{line}")?;
    }
    let mut legend = format!(
        "medians of runs; bootstrap interval of their ratio; Mann-Whitney p, corrected for {} \
         metrics (Holm); the same: the interval lies within ±{delta}",
        comparison.findings.len()
    );
    if !comparison.unknown.is_empty() {
        legend.push_str(&format!("; not known in every run: {}", comparison.unknown.join(", ")));
    }
    out.write_str(&wrap("  ", &legend, WIDTH))
}

fn headline(comparison: &Comparison) -> (Verdict, &'static str) {
    if comparison.is_invalid() {
        return (Verdict::Invalid, "INVALID");
    }
    match comparison.judgement {
        Judgement::Slower => (Verdict::Invalid, "SLOWER"),
        Judgement::Faster => (Verdict::Valid, "FASTER"),
        Judgement::Same => (Verdict::Valid, "SAME"),
        Judgement::Undecided => (Verdict::Suspect, "UNDECIDED"),
        Judgement::NotEnoughRuns => (Verdict::Suspect, "NOT ENOUGH RUNS"),
    }
}

fn explained(comparison: &Comparison, delta: &str) -> String {
    if comparison.is_invalid() {
        return "a side is INVALID and shows nothing; see 'loadgen report' for its reasons"
            .to_owned();
    }
    let named = |wanted: Judgement| {
        let findings = comparison.findings.iter().filter(|found| found.judgement == wanted);
        findings.map(|finding| finding.metric.name).collect::<Vec<_>>().join(", ")
    };
    match comparison.judgement {
        Judgement::Slower => format!("B is slower than A in {}", named(Judgement::Slower)),
        Judgement::Faster => format!("B is faster than A in {}", named(Judgement::Faster)),
        Judgement::Same => format!("B is as fast as A within {delta}"),
        Judgement::Undecided => {
            format!("undecided for {}; measure more runs", named(Judgement::Undecided))
        }
        Judgement::NotEnoughRuns => {
            format!("a verdict needs {} runs a side; measure with --runs", super::RUNS_MIN)
        }
    }
}

fn write_side(out: &mut String, name: &str, side: &SideSummary, style: Style) -> fmt::Result {
    let verdict = style.judged(side.verdict, side.verdict);
    let shared = if side.co_located { ", CO-LOCATED" } else { "" };
    writeln!(
        out,
        "  {name}  {}  {}, {verdict}{shared}",
        side.path,
        counted(side.runs as u64, "run")
    )
}

fn row(finding: &Finding) -> Vec<String> {
    let value = |value: f64, at_least: bool| {
        let sign = if at_least { ">= " } else { "" };
        format!("{sign}{}", (finding.metric.show)(value))
    };
    let ratio = |ratio: f64| format!("{ratio:.3}");
    let interval = |[low, high]: [f64; 2]| format!("{low:.3} - {high:.3}");
    let unknown = || "n/a".to_owned();
    vec![
        finding.metric.name.to_owned(),
        value(finding.a, finding.a_at_least),
        value(finding.b, finding.b_at_least),
        finding.ratio.map_or_else(unknown, ratio),
        finding.ratio_ci95.map_or_else(unknown, interval),
        probability(finding.p),
        probability(finding.p_holm),
        match finding.judgement {
            Judgement::Faster => "faster",
            Judgement::Slower => "slower",
            Judgement::Same => "the same",
            Judgement::Undecided => "undecided",
            Judgement::NotEnoughRuns => "(not enough runs)",
        }
        .to_owned(),
    ]
}

fn probability(p: f64) -> String {
    if p < 0.000_1 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}
