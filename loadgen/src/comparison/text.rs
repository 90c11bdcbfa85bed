//! The comparison on the terminal: the conclusion first, then the numbers behind it.

use std::fmt::{self, Write as _};

use super::{Comparison, Finding, Judgement, Schedules, SideSummary};
use crate::record::Verdict;
use crate::report::text::{Columns, Style, WIDTH, wrap};
use crate::stats;
use crate::units::{self, counted};

/// The comparison as text.
pub(crate) fn render(comparison: &Comparison, style: Style) -> String {
    let mut text = String::new();
    write_comparison(&mut text, comparison, style).expect("writing to a string cannot fail");
    text
}

fn write_comparison(out: &mut String, comparison: &Comparison, style: Style) -> fmt::Result {
    let delta = format!("{} %", 100.0 * comparison.delta);
    let (level, word) = comparison.judgement.headline();
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
    out.write_str(&wrap("  ", &legend(comparison, &delta), WIDTH))
}

/// How the numbers of the table came about.
fn legend(comparison: &Comparison, delta: &str) -> String {
    let decides = |finding: &&Finding| finding.p_holm.is_some();
    let (deciding, shown): (Vec<&Finding>, Vec<&Finding>) =
        comparison.findings.iter().partition(decides);
    let pairs = if comparison.paired { "pairs of runs with the same seed" } else { "all pairs" };
    let test = match comparison.test {
        "wilcoxon" => "Wilcoxon's test of the pairs",
        _ => "the Mann-Whitney test",
    };
    let mut legend = format!(
        "A, B: medians of runs; B/A: of {pairs} (Hodges-Lehmann), with its interval; p: of {test}, \
         corrected for {} metrics (Holm); the same: the interval lies within ±{delta}",
        deciding.len()
    );
    if comparison.schedules == Schedules::One {
        legend.push_str("; all runs have one seed: the verdict holds for this schedule only");
    }
    if !shown.is_empty() {
        let names: Vec<&str> = shown.iter().map(|finding| finding.metric.name).collect();
        let names = names.join(", ");
        legend.push_str(&format!("; shown, as few requests of a run make it: {names}"));
    }
    if !comparison.unknown.is_empty() {
        legend.push_str(&format!("; not known in every run: {}", comparison.unknown.join(", ")));
    }
    legend
}

fn explained(comparison: &Comparison, delta: &str) -> String {
    let named = |wanted: Judgement| {
        let findings = comparison.findings.iter().filter(|found| found.judgement == wanted);
        findings.map(|finding| finding.metric.name).collect::<Vec<_>>().join(", ")
    };
    match comparison.judgement {
        Judgement::Invalid => invalid(comparison),
        Judgement::Slower => format!("B is slower than A in {}", named(Judgement::Slower)),
        Judgement::Faster => format!("B is faster than A in {}", named(Judgement::Faster)),
        Judgement::Same => format!("B is as fast as A within {delta}"),
        Judgement::Undecided => undecided(comparison, delta),
        Judgement::NotEnoughRuns => {
            format!(
                "a verdict needs {} runs a side, each with a seed of its own; measure with --runs",
                super::RUNS_MIN
            )
        }
        Judgement::NotComparable | Judgement::Shown => {
            comparison.no_verdict.clone().unwrap_or_default()
        }
    }
}

/// Which side is INVALID, and where its reasons are.
fn invalid(comparison: &Comparison) -> String {
    let sides = [("A", &comparison.a), ("B", &comparison.b)];
    let invalid = sides.into_iter().filter(|(_, side)| side.verdict == Verdict::Invalid);
    let reports = invalid.map(|(name, side)| {
        format!("{name} is INVALID and shows nothing; 'loadgen report {}' says why", side.path)
    });
    reports.collect::<Vec<_>>().join("; ")
}

/// What is undecided, and how many runs would decide it.
fn undecided(comparison: &Comparison, delta: &str) -> String {
    let findings = comparison.findings.iter();
    let undecided: Vec<&Finding> =
        findings.filter(|finding| finding.judgement == Judgement::Undecided).collect();
    let names: Vec<&str> = undecided.iter().map(|finding| finding.metric.name).collect();
    let needed = undecided.iter().filter_map(|finding| {
        let runs = units::grouped(finding.runs_to_decide? as u64);
        Some(format!("{} {runs}", finding.metric.name))
    });
    let needed: Vec<String> = needed.collect();
    let names = names.join(", ");
    if needed.is_empty() {
        return format!("undecided for {names}; measure more runs");
    }
    format!(
        "undecided for {names}; runs a side that would show a difference of {delta} with this \
         spread ({:.0} % power): {}",
        100.0 * stats::POWER,
        needed.join(", ")
    )
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
        finding.p_holm.map_or_else(String::new, probability),
        finding.judgement.word().to_owned(),
    ]
}

/// A p value.
pub(crate) fn probability(p: f64) -> String {
    if p < 0.000_1 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}
