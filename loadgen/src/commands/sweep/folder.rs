//! The directory of a sweep: the plan, every record as soon as it exists, and a table of them.
//!
//! ```text
//! sweep.json                    the plan, and at the end the summary
//! sweep.csv                     one line a run, in the order of measurement
//! cells/<settings>/run-01.json  the record of a run
//! summary.txt, summary.md       medians and ranges
//! plot-*.svg                    medians and ranges as charts
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::record::SweepRecord;
use super::row::Row;
use super::sweep_plan::{PlanText, SweepPlan};
use crate::error::Error;
use crate::record::Record;
use crate::report::{Directory, files, json};

/// The directory of a sweep.
#[derive(Debug)]
pub(super) struct SweepFolder {
    directory: Directory,
    /// Whether it contains a part of this sweep, which goes on.
    continues: bool,
}

impl SweepFolder {
    /// Checks the directory for this plan, or finds what an interrupted sweep with the same plan
    /// has left there. Refuses other results, unless they may be replaced.
    pub(super) fn open(plan: &SweepPlan) -> Result<Self, Error> {
        let path = &plan.folder;
        let stored = if plan.force { None } else { stored_plan(path)? };
        let Some(stored) = stored else {
            return Ok(Self { directory: Directory::open(path, plan.force)?, continues: false });
        };
        if stored != plan.text {
            let differences = plan.text.differences(&stored).join("; ");
            return Err(Error::Usage(format!(
                "--out {}: it contains the results of another sweep ({differences}); name \
                 another directory, or add --force to replace them",
                path.display()
            )));
        }
        Ok(Self { directory: Directory::continued(path)?, continues: true })
    }

    /// Prepares the directory for the first run to be written. Only now other results make way:
    /// they stay if nothing can be measured.
    pub(super) fn begin(&mut self, plan: &PlanText, rows: &[Row]) -> Result<(), Error> {
        if !self.continues {
            self.directory.begin()?;
            self.directory.write(files::SWEEP, &json::text(&SweepRecord::beginning(plan))?)?;
            self.continues = true;
        }
        // From the records, in case one has no line yet.
        self.directory.write(files::SWEEP_TABLE, &Row::table(plan, rows))
    }

    /// Writes all files that can be written. Returns the first error.
    pub(super) fn write_all(&self, files: &[(String, String)]) -> Result<(), Error> {
        // A directory that could not be prepared has the results of another measurement.
        if self.continues { self.directory.write_all(files) } else { Ok(()) }
    }

    /// Writes the record of a run, and adds its line to the table.
    pub(super) fn write_run(&self, cell: &str, row: &Row, record: &Record) -> Result<(), Error> {
        self.directory.write(run_file(cell, row.round), &json::text(record)?)?;
        self.directory.append(files::SWEEP_TABLE, &row.csv())
    }

    /// The record of a run that was measured before.
    pub(super) fn run(&self, cell: &str, round: u32) -> Option<Record> {
        run(self.directory.path(), cell, round)
    }
}

/// The file of a run's record, from the directory.
pub(super) fn run_file(cell: &str, round: u32) -> PathBuf {
    Path::new(files::CELLS).join(cell).join(files::run_of(round))
}

/// The record of a run in the directory of a sweep.
pub(super) fn run(folder: &Path, cell: &str, round: u32) -> Option<Record> {
    let text = fs::read_to_string(folder.join(run_file(cell, round))).ok()?;
    serde_json::from_str(&text).ok()
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
        let mut forced = open(folder.path(), "--var size=1 --force").unwrap();
        assert!(earlier.exists());
        forced.begin(&plan("--var size=1").unwrap().text, &[]).unwrap();
        assert!(!earlier.exists());
    }
}
