//! `loadgen sweep`: every combination of some settings, measured in random order.
//!
//! ```text
//! sweep_plan  variables, the cells that they make, and their order
//! folder      what is stored, and an interrupted sweep found
//! row         one run's numbers
//! record      sweep.json: every cell's summary
//! report      a table and charts, for people, and the files of a sweep
//! stored      a sweep that was measured before
//! ```

mod folder;
mod record;
mod report;
mod row;
mod stored;
mod sweep_plan;

use std::env;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use self::folder::SweepFolder;
use self::record::SweepRecord;
use self::row::Row;
pub(super) use self::stored::stored;
use self::sweep_plan::SweepPlan;
use crate::cli::SweepArgs;
use crate::console;
use crate::environment::Environment;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Loader, Measured};
use crate::record::Verdict;
use crate::report::print_beside;
use crate::units::{self, about, counted};

/// Carries out the command and returns the exit code.
pub(crate) fn sweep(args: SweepArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let words: Vec<OsString> = env::args_os().collect();
    let plan = SweepPlan::new(args, &words)?;
    let folder = SweepFolder::open(&plan)?;
    let mut sweep = Sweep { plan: &plan, folder, rows: Vec::new(), env: None };
    sweep.find_what_is_there();
    let measured = sweep.measure(interrupt);
    if sweep.rows.is_empty() {
        return measured.map(|()| exit::INTERRUPTED);
    }
    // Whatever was measured is summed up, also if it ends in an error.
    let record = SweepRecord::new(&plan.text, sweep.env, &sweep.rows);
    let written = sweep.folder.write_all(&report::files(&record, &sweep.rows)?);
    let printed = print(plan.quiet, &record);
    console::first_error([measured, written, printed])?;
    let rows = sweep.rows.iter();
    Ok(if record.complete { worst(rows.map(|row| row.exit_code)) } else { exit::INTERRUPTED })
}

/// The state of a sweep.
struct Sweep<'a> {
    plan: &'a SweepPlan,
    folder: SweepFolder,
    rows: Vec<Row>,
    env: Option<Environment>,
}

impl Sweep<'_> {
    fn find_what_is_there(&mut self) {
        if self.plan.force {
            return;
        }
        for (round, place) in self.plan.text.order() {
            let cell = &self.plan.cells[place];
            if let Some(record) = self.folder.run(&cell.folder(), round) {
                self.rows.push(Row::new(place, &cell.settings, round, &record));
                self.env = Some(record.env);
            }
        }
    }

    fn measure(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let is_there = |&(round, cell): &(u32, usize)| {
            self.rows.iter().any(|row| (row.round, row.cell) == (round, cell))
        };
        let missing: Vec<(u32, usize)> =
            self.plan.text.order().filter(|run| !is_there(run)).collect();
        let all = self.rows.len() + missing.len();
        self.announce(&missing);
        let (begun, mut loader) = (Instant::now(), Loader::default());
        for (done, &(round, place)) in missing.iter().enumerate() {
            let cell = &self.plan.cells[place];
            let title = sweep_plan::title(&cell.settings);
            let mut options = cell.options_of(round);
            options.output.position = format!("{}/{all} {title}", self.rows.len() + 1);
            let Some(Measured { measurement, failure }) =
                measure::measure_whole(&options, &mut loader, interrupt)?
            else {
                console::say(&interrupted(self.plan, self.rows.len(), all));
                return Ok(());
            };
            let record = measurement.record;
            let prepared = match done {
                0 => self.folder.begin(&self.plan.text, &self.rows),
                _ => Ok(()),
            };
            self.rows.push(Row::new(place, &cell.settings, round, &record));
            // A run that cannot be stored is part of the report.
            let row = &self.rows[self.rows.len() - 1];
            prepared.and_then(|()| self.folder.write_run(&cell.folder(), row, &record))?;
            self.env = Some(record.env);
            failure.map_or(Ok(()), Err)?;
            if !self.plan.quiet {
                let left = remaining(begun.elapsed(), done + 1, missing.len());
                console::say(&line(&format!("{}/{all} {title}", self.rows.len()), row, left));
            }
        }
        Ok(())
    }

    /// Says how many runs there are to make, and about how long they take.
    fn announce(&self, missing: &[(u32, usize)]) {
        if self.plan.quiet {
            return;
        }
        let lengths = missing.iter().map(|&(_, place)| self.plan.cells[place].options.length());
        let length = lengths.fold(Duration::ZERO, Duration::saturating_add);
        let found = match self.rows.len() as u64 {
            0 => String::new(),
            found => format!("; {} there already", counted(found, "run")),
        };
        let cells = counted(self.plan.cells.len() as u64, "combination");
        console::say(&format!(
            "{} to measure of {cells}, at least {}{found}",
            counted(missing.len() as u64, "run"),
            about(length)
        ));
    }
}

fn interrupted(plan: &SweepPlan, done: usize, all: usize) -> String {
    let folder = plan.folder.display();
    match done {
        0 => format!("interrupted before the first of {} was complete", counted(all as u64, "run")),
        _ => format!(
            "interrupted after {done} of {}; the results so far are in {folder}, and the same \
             command measures the others",
            counted(all as u64, "run")
        ),
    }
}

/// The remaining time, if further runs take as long as those so far.
fn remaining(elapsed: Duration, done: usize, all: usize) -> Duration {
    let each_s = elapsed.as_secs_f64() / done as f64;
    Duration::from_secs((each_s * (all - done) as f64).round() as u64)
}

/// The result of a run in a line, during the sweep.
fn line(position: &str, row: &Row, left: Duration) -> String {
    let p99 = row.p99_ns.map_or("n/a".to_owned(), units::brief);
    let rate = units::rate(row.achieved_per_s);
    let left = match left {
        Duration::ZERO => String::new(),
        left => format!("; about {} left", about(left)),
    };
    let Row { round, verdict, .. } = row;
    format!("{position}, round {round}: {rate}/s, p99 {p99}, {verdict}{left}")
}

/// Prints the report, or without it why the exit code is not 0.
fn print(quiet: bool, record: &SweepRecord) -> Result<(), Error> {
    if !quiet {
        return print_beside(None, |_| report::text(record));
    }
    if let Some(line) = quiet_line(record) {
        console::say(&line);
    }
    Ok(())
}

/// All that a sweep without a report says: a verdict that is not VALID, and how many runs had
/// errors or missed an objective.
fn quiet_line(record: &SweepRecord) -> Option<String> {
    let (verdict, text) = report::verdict(record.cells.iter());
    let runs = || record.cells.iter().flat_map(|cell| &cell.runs);
    let of_runs = |count: usize, what: &str| {
        let all = counted(runs().count() as u64, "run");
        (count > 0).then(|| format!("{count} of {all} {what}"))
    };
    [
        (verdict > Verdict::Valid).then_some(text),
        of_runs(runs().filter(|row| row.had_errors).count(), "had errors"),
        of_runs(runs().filter(|row| row.slo_met == Some(false)).count(), "missed an objective"),
    ]
    .into_iter()
    .flatten()
    .reduce(|all, next| format!("{all}; {next}"))
}

/// The exit code of several runs: that of the gravest.
fn worst(codes: impl Iterator<Item = u8>) -> u8 {
    let gravity = [exit::OK, exit::MISSED, exit::INVALID, exit::FAILED];
    let place = |code: &u8| gravity.iter().position(|known| known == code);
    codes.max_by_key(place).unwrap_or(exit::FAILED)
}

#[cfg(test)]
mod tests {
    use super::row::tests::row;
    use super::sweep_plan::tests::plan;
    use super::*;

    #[test]
    fn a_quiet_sweep_counts_the_runs_that_had_errors_or_missed_an_objective() {
        let plan = plan("--var size=1 --runs 3").unwrap().text;
        let line = |rows: &[Row]| quiet_line(&SweepRecord::new(&plan, None, rows));
        assert_eq!(line(&[row(0, 1, 9.0, 5)]), None);
        let missed = |round| Row { slo_met: Some(false), ..row(0, round, 9.0, 5) };
        let rows = [row(0, 1, 9.0, 5), missed(2), Row { had_errors: true, ..missed(3) }];
        let said = "1 of 3 runs had errors; 2 of 3 runs missed an objective";
        assert_eq!(line(&rows).unwrap(), said);
    }

    #[test]
    fn the_gravest_run_decides() {
        assert_eq!(worst([exit::OK, exit::OK].into_iter()), exit::OK);
        assert_eq!(worst([exit::MISSED, exit::OK].into_iter()), exit::MISSED);
        assert_eq!(worst([exit::MISSED, exit::INVALID].into_iter()), exit::INVALID);
        assert_eq!(worst([exit::INVALID, exit::FAILED, exit::OK].into_iter()), exit::FAILED);
    }

    #[test]
    fn the_time_left_follows_from_the_runs_that_were_made() {
        assert_eq!(remaining(Duration::from_secs(30), 3, 5), Duration::from_secs(20));
        assert_eq!(remaining(Duration::from_secs(30), 3, 3), Duration::ZERO);
    }

    #[test]
    fn a_run_is_reported_in_a_line() {
        let left = Duration::from_secs(90);
        let text = line("3/8 size=64", &row(0, 2, 1_000.0, 50_000), left);
        let expected = "3/8 size=64, round 2: 1,000/s, p99 50.0 µs, VALID; about 1m 30s left";
        assert_eq!(text, expected);
    }
}
