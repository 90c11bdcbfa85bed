//! The numbers of one pair: a run of A and a run of B.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ab_plan::Name;
use crate::commands::csv::{known, quoted};
use crate::commands::verdicts::first_reason;
use crate::comparison::{ComparedMetric, METRICS};
use crate::environment::Sharing;
use crate::record::{Record, Verdict};

/// A pair that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair {
    /// From 1, in the order of measurement; pairs that are left out count.
    pub(super) number: u32,
    /// The seed of both runs.
    pub(super) seed: u64,
    /// The side that was measured first.
    pub(super) first: Name,
    /// Whether a run of it is INVALID, so that it does not count.
    pub(super) left_out: bool,
    pub(super) a: SideRun,
    pub(super) b: SideRun,
}

/// The run of one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SideRun {
    pub(super) started_unix_s: Option<f64>,
    pub(super) verdict: Verdict,
    /// The first reason of the verdict; null for VALID.
    pub(super) reason: Option<String>,
    /// Whether a request or a connection failed.
    pub(super) had_errors: bool,
    pub(super) failed_requests: u64,
    /// Whether loader and server shared processors.
    pub(super) co_located: bool,
    /// By the name of the metric; those that the run does not know are not there.
    pub(super) values: BTreeMap<String, MetricValue>,
}

/// A number of a run, always positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct MetricValue {
    pub(super) value: f64,
    /// Whether it is a lower bound.
    pub(super) at_least: bool,
}

impl SideRun {
    /// The numbers of a measurement of one run.
    pub(super) fn of(record: &Record) -> Self {
        let run = record.runs.first();
        // A processor time of zero is below the kernel's steps of 10 ms: it is not known.
        let value = |metric: &ComparedMetric| {
            let (value, at_least) = metric.value(record, run?)?;
            let named = (metric.name.to_owned(), MetricValue { value, at_least });
            (value > 0.0).then_some(named)
        };
        Self {
            started_unix_s: run.map(|run| run.started_unix_s),
            verdict: record.validity.verdict,
            reason: first_reason(&record.validity),
            had_errors: record.counters.has_errors(),
            failed_requests: record.counters.failed_requests() + record.counters.censored,
            co_located: record.env.sharing.is_some_and(Sharing::is_co_located),
            values: METRICS.iter().filter_map(value).collect(),
        }
    }
}

impl Pair {
    /// A pair of these runs.
    pub(super) fn of(number: u32, seed: u64, first: Name, a: SideRun, b: SideRun) -> Self {
        let left_out = a.verdict == Verdict::Invalid || b.verdict == Verdict::Invalid;
        Self { number, seed, first, left_out, a, b }
    }

    /// One side of it.
    pub(super) fn side(&self, name: Name) -> &SideRun {
        match name {
            Name::A => &self.a,
            Name::B => &self.b,
        }
    }

    /// Both sides in the order of their runs.
    pub(super) fn order(&self) -> [Name; 2] {
        match self.first {
            Name::A => [Name::A, Name::B],
            Name::B => [Name::B, Name::A],
        }
    }

    /// B by A, as a logarithm; nothing if it is not known of both.
    pub(super) fn difference(&self, metric: &str) -> Option<f64> {
        let value = |side: &SideRun| side.values.get(metric).map(|value| value.value);
        Some((value(&self.b)? / value(&self.a)?).ln())
    }

    /// The table of these pairs, a line per run.
    pub(super) fn table(pairs: &[Self]) -> String {
        let mut head = String::from("pair,seed,position,side,started_unix_s,left_out,verdict,");
        head += "reason,had_errors,failed_requests,co_located";
        for metric in METRICS {
            head += &format!(",{},{0}_at_least", metric.name.replace(' ', "_"));
        }
        pairs.iter().fold(head + "\n", |table, pair| table + &pair.lines())
    }

    /// Its lines of the table, in the order of the runs.
    fn lines(&self) -> String {
        let lines = self.order().into_iter().zip(1..).map(|(name, position)| {
            let side = self.side(name);
            let mut cells = vec![
                self.number.to_string(),
                self.seed.to_string(),
                position.to_string(),
                name.to_string(),
                known(side.started_unix_s),
                self.left_out.to_string(),
                side.verdict.to_string(),
                side.reason.as_deref().map(quoted).unwrap_or_default(),
                side.had_errors.to_string(),
                side.failed_requests.to_string(),
                side.co_located.to_string(),
            ];
            for metric in METRICS {
                let value = side.values.get(metric.name);
                cells.push(known(value.map(|value| value.value)));
                cells.push(known(value.map(|value| value.at_least)));
            }
            cells.join(",") + "\n"
        });
        lines.collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::tests::sample;

    /// A pair without fault, whose metrics in B are those of A times `ratio`.
    pub(in crate::commands::ab) fn pair(number: u32, ratio: f64) -> Pair {
        let side = |factor: f64| {
            let values = [("p50", 100_000.0), ("p99", 300_000.0), ("server cpu", 8.0)];
            let value = |(name, value): (&str, f64)| {
                (name.to_owned(), MetricValue { value: value * factor, at_least: false })
            };
            SideRun {
                started_unix_s: Some(1_000.0 + f64::from(number) * 20.0),
                verdict: Verdict::Valid,
                reason: None,
                had_errors: false,
                failed_requests: 0,
                co_located: false,
                values: values.map(value).into(),
            }
        };
        Pair::of(number, u64::from(number), Name::A, side(1.0), side(ratio))
    }

    #[test]
    fn a_run_has_the_numbers_that_its_record_knows() {
        let run = SideRun::of(&sample::open().record);
        let names: Vec<&str> = run.values.keys().map(String::as_str).collect();
        assert_eq!(names, ["achieved", "max", "p50", "p90", "p99", "p99.9"]);
        assert!((140_000.0..160_000.0).contains(&run.values["p50"].value), "{run:?}");
        assert_eq!((run.verdict, run.had_errors), (Verdict::Valid, false));
    }

    #[test]
    fn a_pair_with_an_invalid_run_is_left_out() {
        let good = pair(1, 1.0);
        let bad = SideRun { verdict: Verdict::Invalid, ..good.a.clone() };
        assert!(!good.left_out);
        assert!(Pair::of(1, 1, Name::A, bad.clone(), good.b.clone()).left_out);
        assert!(Pair::of(1, 1, Name::A, good.a, bad).left_out);
    }

    #[test]
    fn a_difference_needs_both_sides() {
        let mut pair = pair(1, 1.1);
        assert!((pair.difference("p99").unwrap() - 1.1_f64.ln()).abs() < 1e-12);
        pair.b.values.remove("p99");
        assert_eq!(pair.difference("p99"), None);
    }

    #[test]
    fn the_table_has_a_line_per_run_in_the_order_of_measurement() {
        let second = Pair { first: Name::B, ..pair(2, 1.1) };
        let table = Pair::table(&[pair(1, 1.0), second]);
        let lines: Vec<&str> = table.lines().collect();
        let commas = |line: &&str| line.matches(',').count();
        assert!(lines.iter().all(|line| commas(line) == commas(&lines[0])), "{table}");
        assert!(lines[0].ends_with(",server_cpu,server_cpu_at_least"), "{table}");
        let starts: Vec<String> =
            lines[1..].iter().map(|line| line.split(',').take(4).collect::<String>()).collect();
        assert_eq!(starts, ["111A", "112B", "221B", "222A"]);
    }
}
