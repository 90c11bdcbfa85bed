//! `loadgen sweep`: every combination of some settings, measured in random order.
//!
//! ```text
//! sweep_plan  variables, the cells that they make, and their order
//! folder      what is stored, and an interrupted sweep found
//! row         one run's numbers
//! record      sweep.json: every cell's summary
//! report      a table and charts, for people
//! ```

mod folder;
mod record;
mod report;
mod row;
mod sweep_plan;

use std::env;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use self::folder::SweepFolder;
use self::record::SweepRecord;
use self::row::Row;
use self::sweep_plan::SweepPlan;
use crate::cli::SweepArgs;
use crate::console;
use crate::environment::Environment;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure;
use crate::units;

/// Carries out the command and returns the exit code.
pub(crate) fn sweep(args: SweepArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let words: Vec<OsString> = env::args_os().collect();
    let plan = SweepPlan::new(args, &words)?;
    let folder = SweepFolder::open(&plan)?;
    let mut sweep = Sweep { plan: &plan, folder: &folder, rows: Vec::new(), env: None };
    sweep.find_what_is_there();
    let measured = sweep.measure(interrupt);
    if sweep.rows.is_empty() {
        return measured.map(|()| exit::INTERRUPTED);
    }
    // Whatever was measured is summed up, also if it ends in an error.
    let record = SweepRecord::new(&plan, sweep.env, &sweep.rows);
    publish(&plan, &folder, &record)?;
    measured?;
    let rows = sweep.rows.iter();
    Ok(if record.complete { worst(rows.map(|row| row.exit_code)) } else { exit::INTERRUPTED })
}

/// The state of a sweep.
struct Sweep<'a> {
    plan: &'a SweepPlan,
    folder: &'a SweepFolder,
    rows: Vec<Row>,
    env: Option<Environment>,
}

impl Sweep<'_> {
    /// Every run of the plan in the order of measurement: round and cell.
    fn runs(&self) -> impl Iterator<Item = (u32, usize)> + use<'_> {
        let rounds = 1..=self.plan.text.runs;
        rounds.flat_map(|round| self.plan.order(round).into_iter().map(move |cell| (round, cell)))
    }

    fn find_what_is_there(&mut self) {
        let mut found = Vec::new();
        for (round, place) in self.runs() {
            let cell = &self.plan.cells[place];
            if let Some(record) = self.folder.run(cell, round) {
                found.push((Row::new(place, cell, round, &record), record.env));
            }
        }
        if !found.is_empty() && !self.plan.quiet {
            console::say(&format!("{} runs are there already; going on", found.len()));
        }
        for (row, env) in found {
            self.rows.push(row);
            self.env = Some(env);
        }
    }

    fn measure(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let is_there = |&(round, cell): &(u32, usize)| {
            self.rows.iter().any(|row| (row.round, row.cell) == (round, cell))
        };
        let missing: Vec<(u32, usize)> = self.runs().filter(|run| !is_there(run)).collect();
        let begun = Instant::now();
        for (done, &(round, place)) in missing.iter().enumerate() {
            if interrupt.is_requested() {
                return Ok(());
            }
            let cell = &self.plan.cells[place];
            let measurement = measure::measure(&cell.options_of(round), interrupt, &mut ())?;
            // An interrupted run is measured again when the sweep continues.
            if measurement.record.interrupted {
                return Ok(());
            }
            let row = Row::new(place, cell, round, &measurement.record);
            if done == 0 {
                self.folder.begin(&self.plan.text, &self.rows)?;
            }
            self.folder.write_run(cell, &row, &measurement.record)?;
            if !self.plan.quiet {
                let left = remaining(begun.elapsed(), done + 1, missing.len());
                console::say(&line(&cell.title(), &row, left));
            }
            self.rows.push(row);
            self.env = Some(measurement.record.env);
        }
        Ok(())
    }
}

/// The remaining time, if further runs take as long as those so far.
fn remaining(elapsed: Duration, done: usize, all: usize) -> Duration {
    let each_s = elapsed.as_secs_f64() / done as f64;
    Duration::from_secs((each_s * (all - done) as f64).round() as u64)
}

/// The result of a run in a line, during the sweep.
fn line(title: &str, row: &Row, left: Duration) -> String {
    let p99 = row.p99_ns.map_or("n/a".to_owned(), units::duration);
    let rate = units::rate(row.achieved_per_s);
    let left = match left {
        Duration::ZERO => String::new(),
        left => format!(", {} left", humantime::format_duration(left)),
    };
    let Row { round, verdict, .. } = row;
    format!("round {round} {title}: {rate}/s, p99 {}, {verdict}{left}", p99.trim_end())
}

fn publish(plan: &SweepPlan, folder: &SweepFolder, record: &SweepRecord) -> Result<(), Error> {
    folder.write(record)?;
    let text = report::text(record);
    folder.write_text("summary.txt", &text)?;
    folder.write_text("summary.md", &report::markdown(record))?;
    for (name, chart) in report::charts(record) {
        folder.write_text(&name, &chart.svg())?;
    }
    if !plan.quiet {
        console::print(&text);
    }
    Ok(())
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
    use super::*;

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
        let text = line("size=64", &row(0, 2, 1_000.0, 50_000), left);
        assert_eq!(text, "round 2 size=64: 1,000/s, p99 50.0 µs, VALID, 1m 30s left");
    }
}
