//! The directory of a comparison in pairs: the plan and every pair as soon as it exists.
//!
//! ```text
//! ab.json               the plan, every pair, and what they show
//! ab.csv                one line a run, in the order of measurement
//! ab.txt, ab.md         the report
//! junit.xml             the same for programs
//! pairs/a/run-01.json   the record of A's run in pair 1; pairs/b/ has those of B
//! pairs/left-out-a/     the records of pairs that are left out; and pairs/left-out-b/
//! ```

use std::path::{Path, PathBuf};

use super::ab_plan::{AbPlan, Name};
use super::junit;
use super::pair::Pair;
use super::record::{AbRecord, SCHEMA, StoredAb};
use super::report;
use crate::error::Error;
use crate::record::Record;
use crate::report::text::Style;
use crate::report::{Directory, files, json, read_record};

/// The directory, if results are stored.
#[derive(Debug)]
pub(super) struct AbFolder {
    directory: Option<Directory>,
    /// Whether it contains a part of this measurement, which goes on.
    continues: bool,
}

impl AbFolder {
    /// Checks the directory for this plan. Returns what an earlier measurement with the same plan
    /// has left there. Refuses other results, unless they may be replaced.
    pub(super) fn open(plan: &AbPlan) -> Result<(Self, StoredAb), Error> {
        let beginning = StoredAb::beginning(&plan.text);
        let Some(path) = &plan.folder else {
            return Ok((Self { directory: None, continues: false }, beginning));
        };
        let file = path.join(files::AB);
        if plan.force || !file.exists() {
            let directory = Directory::open(path, plan.force)?;
            return Ok((Self { directory: Some(directory), continues: false }, beginning));
        }
        let stored: StoredAb = read_record(&file, SCHEMA, "an ab")?;
        let differences = plan.text.differences(&stored.plan);
        if !differences.is_empty() {
            return Err(Error::Usage(format!(
                "--out {}: it contains the results of another plan ({}); name another directory, \
                 or add --force to replace them",
                path.display(),
                differences.join("; ")
            )));
        }
        let directory = Directory::continued(path)?;
        let stored = StoredAb {
            plan: plan.text.clone(),
            interrupted: false,
            continued_after: stored.pairs.len(),
            ..stored
        };
        Ok((Self { directory: Some(directory), continues: true }, stored))
    }

    /// Writes the records of a pair, and the result so far. Other results make way for the first
    /// pair: they stay if nothing can be measured.
    pub(super) fn store(
        &mut self,
        pair: &Pair,
        records: &[(Name, Record)],
        so_far: &AbRecord,
    ) -> Result<(), Error> {
        let Some(directory) = &mut self.directory else { return Ok(()) };
        if !self.continues {
            directory.begin()?;
            self.continues = true;
        }
        for (name, record) in records {
            directory.write(run_file(pair, *name), &json::text(record)?)?;
        }
        directory.write(files::AB, &json::text(so_far)?)
    }

    /// Writes all files but the records of the runs.
    pub(super) fn finish(&self, record: &AbRecord) -> Result<(), Error> {
        match &self.directory {
            // A directory that could not be prepared has the results of another measurement.
            Some(directory) if self.continues => directory.write_all(&all_files(record)?),
            _ => Ok(()),
        }
    }
}

/// The file of a run's record, from the directory.
pub(super) fn run_file(pair: &Pair, name: Name) -> PathBuf {
    let name = name.to_string().to_lowercase();
    let folder = if pair.left_out { format!("left-out-{name}") } else { name };
    Path::new(files::PAIRS).join(folder).join(files::run_of(pair.number))
}

/// All files but the records of the runs, `ab.json` first.
pub(super) fn all_files(record: &AbRecord) -> Result<Vec<(String, String)>, Error> {
    let files = [
        (files::AB, json::text(record)?),
        (files::AB_TABLE, Pair::table(&record.stored.pairs)),
        (files::AB_TEXT, report::text(record, Style::PLAIN)),
        (files::AB_MARKDOWN, report::markdown(record)),
        (files::AB_JUNIT, junit::xml(record)),
    ];
    Ok(files.map(|(name, text)| (name.to_owned(), text)).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::ab_plan::tests::plan;
    use super::super::pair::tests::pair;
    use super::*;

    fn open(path: &Path, flags: &str) -> Result<(AbFolder, StoredAb), Error> {
        AbFolder::open(&AbPlan { folder: Some(path.to_owned()), ..plan(flags).unwrap() })
    }

    fn store(path: &Path, flags: &str) {
        let (mut folder, mut stored) = open(path, flags).unwrap();
        let pair = pair(stored.pairs.len() as u32 + 1, 1.0);
        stored.pairs.push(pair.clone());
        folder.store(&pair, &[], &AbRecord::new(stored)).unwrap();
    }

    #[test]
    fn the_same_plan_goes_on_also_with_more_pairs_and_another_is_refused() {
        let folder = test_needs::folder();
        let path = folder.path().join("new");
        store(&path, "--a old --b new");
        store(&path, "--a old --b new --pairs 90");
        let (_, stored) = open(&path, "--a old --b new --pairs 90").unwrap();
        assert_eq!((stored.pairs.len(), stored.plan.pairs), (2, 90));
        let text = open(&path, "--a old --b new -c 9").unwrap_err().to_string();
        assert!(text.contains("a.connections: 64 there, 9 here"), "{text}");
        assert!(text.contains("--force"), "{text}");
        let (_, stored) = open(&path, "--a old --b new -c 9 --force").unwrap();
        assert!(stored.pairs.is_empty());
    }

    #[test]
    fn other_results_make_way_only_with_force_and_only_for_a_pair() {
        let folder = test_needs::folder();
        let earlier = folder.path().join("result.json");
        fs::write(&earlier, "x").unwrap();
        let text = open(folder.path(), "--a old --b new").unwrap_err().to_string();
        assert!(text.contains("already contains a result"), "{text}");
        open(folder.path(), "--a old --b new --force").unwrap();
        assert!(earlier.exists());
        store(folder.path(), "--a old --b new --force");
        assert!(!earlier.exists());
    }

    #[test]
    fn runs_of_pairs_that_are_left_out_have_folders_of_their_own() {
        let mut pair = pair(7, 1.0);
        assert_eq!(run_file(&pair, Name::B), Path::new("pairs/b/run-07.json"));
        pair.left_out = true;
        assert_eq!(run_file(&pair, Name::A), Path::new("pairs/left-out-a/run-07.json"));
    }
}
