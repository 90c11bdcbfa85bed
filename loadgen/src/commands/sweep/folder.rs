//! The directory of a sweep: the plan, every record as soon as it exists, and a table of them.
//!
//! ```text
//! sweep.json                    the plan, and at the end the summary
//! sweep.csv                     one line a run, in the order of measurement
//! cells/<settings>/run-01.json  the record of a run
//! summary.txt, summary.md       medians and ranges
//! plot-*.svg                    medians and ranges as charts
//! ```

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use super::record::SweepRecord;
use super::row::Row;
use super::sweep_plan::{Cell, PlanText, SweepPlan};
use crate::atomic_file;
use crate::error::Error;
use crate::record::Record;

/// The directory of a sweep.
#[derive(Debug)]
pub(super) struct SweepFolder {
    path: PathBuf,
}

impl SweepFolder {
    /// Checks that the directory can be made and written to, or that an interrupted sweep with the
    /// same plan has left it. Another plan's results are refused. Changes nothing.
    pub(super) fn open(plan: &SweepPlan) -> Result<Self, Error> {
        let folder = Self { path: plan.folder.clone() };
        if let Some(stored) = folder.stored_plan()?
            && stored != plan.text
        {
            let directory = folder.path.display();
            let differences = plan.text.differences(&stored).join("; ");
            return Err(Error::Usage(format!(
                "--out {directory}: another sweep's results are there ({differences}); name \
                 another directory"
            )));
        }
        atomic_file::check_folder(&folder.path)
            .map_err(atomic_file::failure("make, or write into,", &folder.path))?;
        Ok(folder)
    }

    /// Makes the directory and writes the plan, before the first run is written. Writes the table
    /// again from the records, in case a record has no line yet.
    pub(super) fn begin(&self, plan: &PlanText, rows: &[Row]) -> Result<(), Error> {
        atomic_file::folder(&self.path.join("cells"))?;
        if self.stored_plan()?.is_none() {
            self.write(&SweepRecord::beginning(plan))?;
        }
        let lines: String = rows.iter().map(Row::csv).collect();
        self.write_text("sweep.csv", &(Row::header(plan) + &lines))
    }

    /// Writes `sweep.json`.
    pub(super) fn write(&self, record: &SweepRecord) -> Result<(), Error> {
        atomic_file::json(&self.path.join("sweep.json"), record)
    }

    /// Writes a file of text.
    pub(super) fn write_text(&self, name: &str, text: &str) -> Result<(), Error> {
        atomic_file::text(&self.path.join(name), text)
    }

    /// The record of a run that was measured before.
    pub(super) fn run(&self, cell: &Cell, round: u32) -> Option<Record> {
        serde_json::from_str(&fs::read_to_string(self.run_path(cell, round)).ok()?).ok()
    }

    /// Writes the record of a run, and adds its line to the table.
    pub(super) fn write_run(&self, cell: &Cell, row: &Row, record: &Record) -> Result<(), Error> {
        let path = self.run_path(cell, row.round);
        if let Some(folder) = path.parent() {
            atomic_file::folder(folder)?;
        }
        atomic_file::json(&path, record)?;
        let table = self.path.join("sweep.csv");
        let append =
            || OpenOptions::new().append(true).open(&table)?.write_all(row.csv().as_bytes());
        append().map_err(atomic_file::failure("append to", &table))
    }

    fn run_path(&self, cell: &Cell, round: u32) -> PathBuf {
        self.path.join("cells").join(cell.file_name()).join(format!("run-{round:02}.json"))
    }

    fn stored_plan(&self) -> Result<Option<PlanText>, Error> {
        let path = self.path.join("sweep.json");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let plan = |text: &str| -> serde_json::Result<PlanText> {
            let mut record: serde_json::Value = serde_json::from_str(text)?;
            serde_json::from_value(record["plan"].take())
        };
        let unreadable = |error: serde_json::Error| {
            let path = path.display();
            Error::Usage(format!("{path} is no sweep's ({error}); name another directory"))
        };
        plan(&text).map(Some).map_err(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sweep_plan::tests::plan;
    use super::*;

    fn open(folder: &std::path::Path, flags: &str) -> Result<SweepFolder, Error> {
        let plan = SweepPlan { folder: folder.to_owned(), ..plan(flags).unwrap() };
        let opened = SweepFolder::open(&plan)?;
        opened.begin(&plan.text, &[])?;
        Ok(opened)
    }

    #[test]
    fn a_sweep_that_has_measured_nothing_leaves_no_directory() {
        let folder = test_needs::folder();
        let path = folder.path().join("new");
        SweepFolder::open(&SweepPlan { folder: path.clone(), ..plan("--var size=1").unwrap() })
            .unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_same_plan_goes_on_and_another_is_refused_with_the_difference() {
        let folder = test_needs::folder();
        let path = folder.path().join("new");
        open(&path, "--var size=1,2").unwrap();
        open(&path, "--var size=1,2").unwrap();
        let text = open(&path, "--var size=1,2 --seed 7").unwrap_err().to_string();
        assert!(text.contains("seed: 1 there, 7 here"), "{text}");
        fs::write(path.join("sweep.json"), "{}").unwrap();
        let text = open(&path, "--var size=1,2").unwrap_err().to_string();
        assert!(text.contains("is no sweep's"), "{text}");
    }
}
