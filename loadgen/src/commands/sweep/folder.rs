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
use std::path::{Path, PathBuf};

use super::record::SweepRecord;
use super::row::Row;
use super::sweep_plan::{PlanText, SweepPlan};
use crate::atomic_file;
use crate::error::Error;
use crate::record::Record;
use crate::report::{existing, files};

/// The directory of a sweep.
#[derive(Debug)]
pub(super) struct SweepFolder {
    path: PathBuf,
    /// Whether it contains a part of this sweep, which goes on.
    continues: bool,
}

impl SweepFolder {
    /// Makes the directory for this plan, or finds what an interrupted sweep with the same plan has
    /// left there. Refuses other results, unless they may be replaced.
    pub(super) fn open(plan: &SweepPlan) -> Result<Self, Error> {
        let path = plan.folder.clone();
        let stored = if plan.force { None } else { stored_plan(&path)? };
        match &stored {
            Some(stored) if *stored != plan.text => {
                let differences = plan.text.differences(stored).join("; ");
                return Err(Error::Usage(format!(
                    "--out {}: it contains the results of another sweep ({differences}); name \
                     another directory, or add --force to replace them",
                    path.display()
                )));
            }
            Some(_) => {}
            None => existing::check(&path, plan.force)?,
        }
        Ok(Self { path, continues: stored.is_some() })
    }

    /// The directory of a stored sweep.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), continues: true }
    }

    /// Prepares the directory for the first run to be written. Only now other results make way:
    /// they stay if nothing can be measured.
    pub(super) fn begin(&self, plan: &PlanText, rows: &[Row]) -> Result<(), Error> {
        if !self.continues {
            existing::clear(&self.path)?;
            let record = SweepRecord::beginning(plan);
            atomic_file::json(&self.path.join(files::SWEEP), &record)?;
        }
        // From the records, in case one has no line yet.
        self.write(files::SWEEP_TABLE, &Row::table(plan, rows))
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        atomic_file::text(&self.path.join(name), text)
    }

    /// The record of a run that was measured before.
    pub(super) fn run(&self, cell: &str, round: u32) -> Option<Record> {
        serde_json::from_str(&fs::read_to_string(self.run_path(cell, round)).ok()?).ok()
    }

    /// Writes the record of a run, and adds its line to the table.
    pub(super) fn write_run(&self, cell: &str, row: &Row, record: &Record) -> Result<(), Error> {
        let path = self.run_path(cell, row.round);
        if let Some(folder) = path.parent() {
            atomic_file::folder(folder)?;
        }
        atomic_file::json(&path, record)?;
        let table = self.path.join(files::SWEEP_TABLE);
        let append =
            || OpenOptions::new().append(true).open(&table)?.write_all(row.csv().as_bytes());
        append().map_err(atomic_file::failure("append to", &table))
    }

    /// The record of a run, from the directory.
    pub(super) fn run_file(cell: &str, round: u32) -> PathBuf {
        Path::new(files::CELLS).join(cell).join(files::run_of(round))
    }

    fn run_path(&self, cell: &str, round: u32) -> PathBuf {
        self.path.join(Self::run_file(cell, round))
    }
}

/// The plan of the sweep in this directory; nothing if there is none.
fn stored_plan(path: &Path) -> Result<Option<PlanText>, Error> {
    let file = path.join(files::SWEEP);
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let plan = |text: &str| -> serde_json::Result<PlanText> {
        let mut record: serde_json::Value = serde_json::from_str(text)?;
        serde_json::from_value(record["plan"].take())
    };
    let unreadable = |error: serde_json::Error| {
        Error::Usage(format!(
            "--out {}: {} in it is not the record of a sweep by this version ({error}); name \
             another directory, or add --force to replace its results",
            path.display(),
            files::SWEEP
        ))
    };
    plan(&text).map(Some).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::super::sweep_plan::tests::plan;
    use super::*;

    fn open(folder: &Path, flags: &str) -> Result<SweepFolder, Error> {
        let plan = plan(flags).unwrap();
        SweepFolder::open(&SweepPlan { folder: folder.to_owned(), ..plan })
    }

    #[test]
    fn a_sweep_that_has_measured_nothing_leaves_no_directory() {
        let folder = test_needs::folder();
        let path = folder.path().join("new");
        open(&path, "--var size=1").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_same_plan_goes_on_and_another_is_refused_with_the_difference() {
        let folder = test_needs::folder();
        let path = folder.path().join("new");
        let text = plan("--var size=1,2").unwrap().text;
        open(&path, "--var size=1,2").unwrap().begin(&text, &[]).unwrap();
        assert!(open(&path, "--var size=1,2").unwrap().continues);
        let text = open(&path, "--var size=1,2 --seed 7").unwrap_err().to_string();
        assert!(text.contains("seed: 1 there, 7 here") && text.contains("--force"), "{text}");
        fs::write(path.join("sweep.json"), "{}").unwrap();
        let text = open(&path, "--var size=1,2").unwrap_err().to_string();
        assert!(text.contains("is not the record of a sweep"), "{text}");
    }

    #[test]
    fn other_results_make_way_only_with_force_and_only_when_a_run_was_measured() {
        let folder = test_needs::folder();
        let earlier = folder.path().join("result.json");
        fs::write(&earlier, "x").unwrap();
        let text = open(folder.path(), "--var size=1").unwrap_err().to_string();
        assert!(text.contains("already contains a result"), "{text}");
        let forced = open(folder.path(), "--var size=1 --force").unwrap();
        assert!(earlier.exists());
        forced.begin(&plan("--var size=1").unwrap().text, &[]).unwrap();
        assert!(!earlier.exists());
    }
}
