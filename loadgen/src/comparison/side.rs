//! The runs of one side, read from files and directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::SideSummary;
use crate::environment::Sharing;
use crate::error::Error;
use crate::record::{Record, RunRecord, Verdict};
use crate::report::{StoredResult, files};

/// The measurements of one side.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    path: PathBuf,
    /// At least one.
    pub(super) records: Vec<Record>,
}

impl Side {
    /// Reads a result.json, a result directory, or a directory of several of either.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let records = records(path)?;
        let records = records.iter().map(|file| Ok(StoredResult::read(file)?.record));
        let records = records.collect::<Result<Vec<_>, Error>>()?;
        if records.iter().all(|record| record.runs.is_empty()) {
            return Err(bad(path, "there is no result in it; name one that --out has written"));
        }
        Ok(Self { path: path.to_owned(), records })
    }

    /// A side of these measurements, named `path`.
    #[cfg(test)]
    pub(super) fn of(path: &str, records: Vec<Record>) -> Self {
        Self { path: path.into(), records }
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> usize {
        self.records.iter().map(|record| record.runs.len()).sum()
    }

    /// Every run with its record and its seeds.
    pub(super) fn seeded_runs(&self) -> impl Iterator<Item = (&Record, &RunRecord, &[u64])> {
        self.records.iter().flat_map(|record| {
            record.runs.iter().map(move |run| (record, run, record.seeds_of(run)))
        })
    }

    /// How many different schedules they have.
    pub(super) fn schedules(&self) -> usize {
        self.seeded_runs().map(|(_, _, seeds)| seeds).collect::<BTreeSet<_>>().len()
    }

    /// The worst verdict of its measurements.
    fn verdict(&self) -> Verdict {
        let verdicts = self.records.iter().map(|record| record.validity.verdict);
        verdicts.max().unwrap_or(Verdict::Invalid)
    }

    /// Whether it does not show what it claims to, so that nothing can be concluded.
    pub(super) fn is_invalid(&self) -> bool {
        self.verdict() == Verdict::Invalid
    }

    /// The side in short.
    pub(super) fn summary(&self) -> SideSummary {
        SideSummary {
            path: self.path.display().to_string(),
            runs: self.runs(),
            verdict: self.verdict(),
            co_located: self
                .records
                .iter()
                .any(|record| record.env.sharing.is_some_and(Sharing::is_co_located)),
        }
    }
}

/// The records that a path means, in the order of their names.
fn records(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if path.join(files::RECORD).exists() {
        return Ok(vec![path.join(files::RECORD)]);
    }
    expect_runs_of_one_plan(path)?;
    let inside = entries(path)?.into_iter().filter_map(|entry| {
        if entry.is_dir() {
            Some(entry.join(files::RECORD)).filter(|file| file.exists())
        } else {
            Some(entry).filter(|file| file.extension().is_some_and(|end| end == "json"))
        }
    });
    Ok(inside.collect())
}

/// A sweep and a search have runs of several plans. Runs of different plans are no side.
fn expect_runs_of_one_plan(path: &Path) -> Result<(), Error> {
    if path.join(files::SWEEP).exists() {
        let cells = entries(&path.join(files::CELLS)).unwrap_or_default();
        let example = cells.first().map(|cell| format!(", such as {}", cell.display()));
        return Err(bad(
            path,
            &format!(
                "it is a sweep, with runs of several settings; name the runs of one{}",
                example.unwrap_or_default()
            ),
        ));
    }
    if path.join(files::SEARCH).exists() {
        return Err(bad(
            path,
            "it is a search, with runs at several rates; measure both sides at one rate with \
             loadgen run --rate",
        ));
    }
    Ok(())
}

/// What is in a directory, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(|error| bad(folder, &error.to_string()))?;
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    Ok(entries)
}

fn bad(path: &Path, complaint: &str) -> Error {
    Error::BadResult { path: path.to_owned(), complaint: complaint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;

    fn write(record: &Record, file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, serde_json::to_string(record).unwrap()).unwrap();
    }

    #[test]
    fn a_side_is_a_file_or_a_directory_or_a_directory_of_several() {
        let folder = test_needs::folder();
        let record = sample::several(&sample::open_args(), 2).record;
        write(&record, &folder.path().join("one/result.json"));
        write(&record, &folder.path().join("two/result.json"));
        write(&record, &folder.path().join("three.json"));
        fs::create_dir(folder.path().join("empty")).unwrap();
        let runs = |path: &str| Side::read(&folder.path().join(path)).unwrap().runs();
        assert_eq!(runs("one/result.json"), 2);
        assert_eq!(runs("one"), 2);
        assert_eq!(runs(""), 6);
    }

    #[test]
    fn what_is_no_result_is_refused_by_name() {
        let folder = test_needs::folder();
        let complaint = |path: &Path| Side::read(path).unwrap_err().to_string();
        assert!(complaint(folder.path()).contains("there is no result in it"));
        let missing = folder.path().join("no.json");
        assert!(complaint(&missing).contains("no.json"), "{}", complaint(&missing));
        fs::write(&missing, "{}").unwrap();
        assert!(complaint(&missing).contains("no record of a measurement"));
        let record = Record { schema: "loadgen/1".to_owned(), ..sample::closed().record };
        write(&record, &missing);
        assert!(complaint(&missing).contains("loadgen/1"), "{}", complaint(&missing));
    }

    #[test]
    fn a_sweep_is_no_side_but_the_runs_of_one_of_its_settings_are() {
        let folder = test_needs::folder();
        let sweep = folder.path();
        fs::write(sweep.join(files::SWEEP), "{}").unwrap();
        for run in ["cells/rate=2000/run-01.json", "cells/rate=1000/run-01.json"] {
            write(&sample::closed().record, &sweep.join(run));
        }
        let complaint = Side::read(sweep).unwrap_err().to_string();
        let example = format!("such as {}", sweep.join("cells/rate=1000").display());
        assert!(complaint.ends_with(&example), "{complaint}");
        assert_eq!(Side::read(&sweep.join("cells/rate=2000")).unwrap().runs(), 1);
    }

    #[test]
    fn a_search_is_no_side() {
        let folder = test_needs::folder();
        fs::write(folder.path().join(files::SEARCH), "{}").unwrap();
        let complaint = Side::read(folder.path()).unwrap_err().to_string();
        assert!(complaint.contains("it is a search"), "{complaint}");
    }

    #[test]
    fn a_side_is_as_bad_as_its_worst_measurement() {
        let mut records = vec![sample::closed().record, sample::closed().record];
        records[1].validity.verdict = Verdict::Invalid;
        assert_eq!(Side::of("a", records).summary().verdict, Verdict::Invalid);
    }
}
