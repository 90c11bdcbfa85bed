//! The machine-readable result of a sweep, `sweep.json`.

use serde::{Deserialize, Serialize};

use super::row::Row;
use super::sweep_plan::{PlanText, Setting, folder_name};
use crate::environment::Environment;
use crate::record::Verdict;
use crate::stats;

/// Name and version of the format.
pub(super) const SCHEMA: &str = "loadgen-sweep/1";

/// A sweep: its plan and what it has found so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SweepRecord {
    /// Always [`SCHEMA`].
    pub(super) schema: String,
    pub(super) plan: PlanText,
    /// Where, as of the last run; null before the first one.
    pub(super) env: Option<Environment>,
    /// Whether every run of the plan was made.
    pub(super) complete: bool,
    /// Whether loader and server shared processors in any run.
    pub(super) co_located: bool,
    /// In the order of the plan; those without a run are left out.
    pub(super) cells: Vec<CellRecord>,
}

/// One combination of values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CellRecord {
    pub(super) settings: Vec<Setting>,
    /// Its folder in `cells`.
    pub(super) folder: String,
    pub(super) summary: Summary,
    pub(super) runs: Vec<Row>,
}

impl SweepRecord {
    /// Before the first run.
    pub(super) fn beginning(plan: &PlanText) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            plan: plan.clone(),
            env: None,
            complete: false,
            co_located: false,
            cells: Vec::new(),
        }
    }

    /// After these runs.
    pub(super) fn new(plan: &PlanText, env: Option<Environment>, rows: &[Row]) -> Self {
        let cells = plan.cells().into_iter().enumerate().filter_map(|(place, settings)| {
            let mut runs: Vec<Row> = rows.iter().filter(|row| row.cell == place).cloned().collect();
            runs.sort_by_key(|row| row.round);
            let summary = Summary::of(&runs)?;
            let folder = folder_name(place, &settings);
            Some(CellRecord { settings, folder, summary, runs })
        });
        Self {
            env,
            complete: rows.len() == plan.order().count(),
            co_located: rows.iter().any(|row| row.co_located),
            cells: cells.collect(),
            ..Self::beginning(plan)
        }
    }
}

/// A median and the range around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// The runs of one cell together: medians with the full range, never means of percentiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) runs: usize,
    pub(super) achieved_per_s: Spread,
    /// Null where a run has too few samples to know.
    pub(super) p50_ns: Option<Spread>,
    pub(super) p99_ns: Option<Spread>,
    pub(super) p999_ns: Option<Spread>,
    pub(super) server_cpu_us_per_request: Option<Spread>,
    /// Processor time of the server's busiest worker by the workers' mean.
    pub(super) balance: Option<Spread>,
    pub(super) valid: usize,
    pub(super) suspect: usize,
    pub(super) invalid: usize,
    /// Runs that missed an objective; null without objectives.
    pub(super) missed: Option<usize>,
    /// Runs with failed requests.
    pub(super) with_errors: usize,
}

impl Spread {
    /// Of these values; nothing if one of them is not known.
    fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.collect::<Option<_>>()?;
        let (least, most) = stats::range(&values)?;
        Some(Self { median: stats::median(&values)?, least, most })
    }
}

impl Summary {
    /// The worst verdict of the runs.
    pub(super) fn verdict(&self) -> Verdict {
        match (self.invalid, self.suspect) {
            (1.., _) => Verdict::Invalid,
            (0, 1..) => Verdict::Suspect,
            (0, 0) => Verdict::Valid,
        }
    }

    /// Of the runs of one cell; nothing of none.
    pub(super) fn of(runs: &[Row]) -> Option<Self> {
        let time = |of: fn(&Row) -> Option<u64>| {
            Spread::of(runs.iter().map(|row| of(row).map(|value_ns| value_ns as f64)))
        };
        let verdicts = |verdict| runs.iter().filter(|row| row.verdict == verdict).count();
        let has_objectives = runs.iter().any(|row| row.slo_met.is_some());
        Some(Self {
            runs: runs.len(),
            achieved_per_s: Spread::of(runs.iter().map(|row| Some(row.achieved_per_s)))?,
            p50_ns: time(|row| row.p50_ns),
            p99_ns: time(|row| row.p99_ns),
            p999_ns: time(|row| row.p999_ns),
            server_cpu_us_per_request: Spread::of(
                runs.iter().map(|row| row.server_cpu_us_per_request),
            ),
            balance: Spread::of(runs.iter().map(|row| row.balance)),
            valid: verdicts(Verdict::Valid),
            suspect: verdicts(Verdict::Suspect),
            invalid: verdicts(Verdict::Invalid),
            missed: has_objectives
                .then(|| runs.iter().filter(|row| row.slo_met == Some(false)).count()),
            with_errors: runs.iter().filter(|row| row.had_errors).count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::super::sweep_plan::tests::plan;
    use super::*;
    use crate::record::tests::extremes;
    use crate::record::tests::schema::Schema;

    #[test]
    fn a_cell_is_described_by_its_median_run_and_the_whole_range() {
        let runs = [row(0, 1, 900.0, 5_000), row(0, 2, 1_000.0, 9_000), row(0, 3, 990.0, 4_000)];
        let summary = Summary::of(&runs).unwrap();
        let rate = Spread { median: 990.0, least: 900.0, most: 1_000.0 };
        assert_eq!(summary.achieved_per_s, rate);
        assert_eq!(summary.p99_ns.unwrap().median, 5_000.0);
        assert_eq!((summary.runs, summary.valid, summary.missed), (3, 3, None));
    }

    #[test]
    fn a_percentile_that_one_run_does_not_know_is_not_known() {
        let unknown = Row { p99_ns: None, ..row(0, 2, 1.0, 0) };
        assert_eq!(Summary::of(&[row(0, 1, 1.0, 5), unknown]).unwrap().p99_ns, None);
        assert_eq!(Summary::of(&[]), None);
    }

    /// A sweep of one run in which every value is known.
    fn full() -> SweepRecord {
        let measured = extremes::full();
        let plan = plan("--var size=1,2 --slo p99<1ms").unwrap().text;
        let plan = PlanText { args: measured.args.clone(), ..plan };
        let row = Row::new(0, &plan.cells()[0], 1, &measured);
        let row = Row { balance: Some(1.5), ..row };
        SweepRecord::new(&plan, Some(measured.env), &[row])
    }

    #[test]
    fn a_sweep_is_what_its_schema_says() {
        let schema = Schema::named("sweep");
        schema.expect_valid(&full());
        schema.expect_valid(&SweepRecord::beginning(&full().plan));
        schema.expect_same_fields(&full(), |at| at.starts_with("/env/"));
    }

    #[test]
    fn a_sweep_survives_its_way_through_a_file() {
        let text = serde_json::to_string(&full()).unwrap();
        let read: SweepRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn runs_that_missed_are_counted() {
        let with = |met, verdict| Row { slo_met: Some(met), verdict, ..row(0, 1, 1.0, 5) };
        let runs = [with(true, Verdict::Valid), with(false, Verdict::Invalid)];
        let summary = Summary::of(&runs).unwrap();
        assert_eq!((summary.missed, summary.invalid), (Some(1), 1));
    }
}
