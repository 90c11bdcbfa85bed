//! The numbers of one run that a sweep compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::sweep_plan::{PlanText, Setting};
use crate::commands::csv::{known, quoted};
use crate::commands::verdicts::first_reason;
use crate::environment::Sharing;
use crate::measure::Measurement;
use crate::record::{Record, ServerThread, Verdict};

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Place of its cell in the plan.
    #[serde(skip)]
    pub(super) cell: usize,
    #[serde(skip)]
    pub(super) values: Vec<String>,
    /// Replicate, from 1.
    pub(super) round: u32,
    pub(super) started_unix_s: Option<f64>,
    pub(super) offered_per_s: Option<f64>,
    pub(super) achieved_per_s: f64,
    /// Response times in an open loop, service times in a closed one.
    pub(super) p50_ns: Option<u64>,
    pub(super) p99_ns: Option<u64>,
    pub(super) p999_ns: Option<u64>,
    pub(super) max_ns: Option<u64>,
    pub(super) server_cpu_us_per_request: Option<f64>,
    /// Processor time of the busiest of the server's workers by their mean.
    pub(super) balance: Option<f64>,
    pub(super) verdict: Verdict,
    /// The first reason of the verdict; null for VALID.
    pub(super) reason: Option<String>,
    /// Whether every objective was met; null without objectives.
    pub(super) slo_met: Option<bool>,
    pub(super) had_errors: bool,
    pub(super) co_located: bool,
    #[serde(skip)]
    pub(super) exit_code: u8,
}

impl Row {
    /// The numbers of a run's record.
    pub(super) fn new(place: usize, settings: &[Setting], round: u32, record: &Record) -> Self {
        let latency = record.latency_ns.headline(record.args.mode);
        let server = record.server.as_ref();
        let met = record.slo.iter().all(|slo| slo.met == Some(true));
        Self {
            cell: place,
            values: values(settings),
            round,
            started_unix_s: record.runs.first().map(|run| run.started_unix_s),
            offered_per_s: record.rate.offered_per_s,
            achieved_per_s: record.rate.achieved_per_s,
            p50_ns: latency.p50,
            p99_ns: latency.p99,
            p999_ns: latency.p999,
            max_ns: latency.max,
            server_cpu_us_per_request: server.and_then(|server| server.cpu_us_per_request),
            balance: server.and_then(|server| balance(&server.threads)),
            verdict: record.validity.verdict,
            reason: first_reason(&record.validity),
            slo_met: (!record.slo.is_empty()).then_some(met),
            had_errors: record.counters.has_errors(),
            co_located: record.env.sharing.is_some_and(Sharing::is_co_located),
            exit_code: Measurement::exit_code_of(record),
        }
    }

    /// The same run, which was read from `sweep.json`, in its cell.
    pub(super) fn in_cell(&self, place: usize, settings: &[Setting]) -> Self {
        Self { cell: place, values: values(settings), ..self.clone() }
    }

    /// The whole table.
    pub(super) fn table(plan: &PlanText, rows: &[Self]) -> String {
        rows.iter().fold(Self::header(plan), |table, row| table + &row.csv())
    }

    /// The first line of the table.
    fn header(plan: &PlanText) -> String {
        let mut line = String::from("round");
        plan.variables.iter().for_each(|variable| _ = write!(line, ",{}", variable.name));
        line + ",started_unix_s,offered_per_s,achieved_per_s,p50_ns,p99_ns,p999_ns,max_ns,\
                server_cpu_us_per_request,balance,verdict,reason,slo_met,had_errors,co_located\n"
    }

    /// Its line of the table; what is not known is empty.
    pub(super) fn csv(&self) -> String {
        let mut cells = vec![self.round.to_string()];
        cells.extend(self.values.iter().map(|value| quoted(value)));
        cells.extend([
            known(self.started_unix_s),
            known(self.offered_per_s),
            self.achieved_per_s.to_string(),
            known(self.p50_ns),
            known(self.p99_ns),
            known(self.p999_ns),
            known(self.max_ns),
            known(self.server_cpu_us_per_request),
            known(self.balance),
            self.verdict.to_string(),
            self.reason.as_deref().map(quoted).unwrap_or_default(),
            known(self.slo_met),
            self.had_errors.to_string(),
            self.co_located.to_string(),
        ]);
        cells.join(",") + "\n"
    }
}

fn values(settings: &[Setting]) -> Vec<String> {
    settings.iter().map(|setting| setting.value.clone()).collect()
}

/// The busiest worker's processor time by the workers' mean: 1 is even, the number of workers is
/// one doing everything. Nothing for a server with a single worker.
///
/// The workers are the threads that differ in the number at the end of their name alone; of several
/// such groups, those that used the most processor time together.
pub(super) fn balance(threads: &[ServerThread]) -> Option<f64> {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for thread in threads {
        let kind = thread.name.trim_end_matches(|c: char| c.is_ascii_digit());
        groups.entry(kind).or_default().push(thread.cpu_s);
    }
    let sum = |cpu_s: &Vec<f64>| cpu_s.iter().sum::<f64>();
    let workers = groups.into_values().max_by(|a, b| sum(a).total_cmp(&sum(b)))?;
    let busiest = workers.iter().copied().fold(0.0, f64::max);
    let mean = sum(&workers) / workers.len() as f64;
    (workers.len() > 1 && mean > 0.0).then(|| busiest / mean)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::sweep_plan::tests::plan;
    use super::*;

    /// A run of a cell, valid, with a rate, a p99 and nothing else.
    pub(in crate::commands::sweep) fn row(cell: usize, round: u32, per_s: f64, p99: u64) -> Row {
        Row {
            cell,
            values: vec!["1".to_owned()],
            round,
            started_unix_s: None,
            offered_per_s: Some(per_s),
            achieved_per_s: per_s,
            p50_ns: None,
            p99_ns: Some(p99),
            p999_ns: None,
            max_ns: None,
            server_cpu_us_per_request: None,
            balance: None,
            verdict: Verdict::Valid,
            reason: None,
            slo_met: None,
            had_errors: false,
            co_located: false,
            exit_code: 0,
        }
    }

    #[test]
    fn a_line_has_a_value_for_every_column() {
        let header = Row::header(&plan("--var size=1").unwrap().text);
        let line = row(0, 3, 12.5, 99).csv();
        assert_eq!(header.matches(',').count(), line.matches(',').count());
        assert!(
            header.starts_with("round,size,started") && line.starts_with("3,1,,12.5,12.5,,99,")
        );
    }

    #[test]
    fn a_line_has_the_verdict_and_its_first_reason() {
        let reason = Some("loader-late: p99 1 ms, busy".to_owned());
        let row = Row { verdict: Verdict::Invalid, reason, ..row(0, 3, 12.5, 99) };
        assert!(row.csv().contains(",INVALID,\"loader-late: p99 1 ms, busy\","), "{}", row.csv());
    }

    fn threads(times: &[(&str, f64)]) -> Vec<ServerThread> {
        let thread = |&(name, cpu_s): &(&str, f64)| ServerThread {
            name: name.to_owned(),
            cpu_s,
            ..ServerThread::default()
        };
        times.iter().map(thread).collect()
    }

    #[test]
    fn one_busy_worker_among_idle_ones_shows() {
        let threads = threads(&[("worker-0", 3.0), ("worker-1", 0.5), ("worker-2", 0.5)]);
        assert_eq!(balance(&threads), Some(3.0 / (4.0 / 3.0)));
    }

    #[test]
    fn threads_that_do_other_things_are_left_out() {
        let threads =
            threads(&[("worker-0", 2.0), ("worker-1", 2.0), ("acceptor", 3.5), ("admin", 0.1)]);
        assert_eq!(balance(&threads), Some(1.0));
    }

    #[test]
    fn a_single_worker_has_no_balance() {
        assert_eq!(balance(&threads(&[("server", 2.0), ("admin", 0.1)])), None);
        assert_eq!(balance(&[]), None);
    }
}
