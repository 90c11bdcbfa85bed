//! A directory of results, and what it already contains.
//!
//! A result is never mixed with another one, and never replaced unless the user says so. Two
//! programs never write into one directory at the same time.

use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::files;
use crate::atomic_file::{self, FolderLock};
use crate::console;
use crate::error::Error;

/// A directory that the results of this program go to.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Whether earlier results may be replaced.
    force: bool,
    /// Nothing until the directory exists.
    lock: Option<FolderLock>,
}

impl Directory {
    /// Checks that the directory can be made and written to. Refuses a directory that contains
    /// anything but results, and one with results unless they may be replaced (`force`). Changes
    /// nothing: see [`Self::begin`].
    pub(crate) fn open(path: &Path, force: bool) -> Result<Self, Error> {
        let directory = Self::continued(path)?;
        if directory.lock.is_some() {
            directory.check_content(force)?;
        }
        Ok(Self { force, ..directory })
    }

    /// As [`Self::open`], for a directory whose content stays.
    pub(crate) fn continued(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Err(Error::Usage(
                "--out: results are several files, and '-' is standard output; name a directory, \
                 or ./- for a directory of this name"
                    .to_owned(),
            ));
        }
        let (exists, path) = (path.exists(), path.to_owned());
        let operation = match exists {
            true => "write into the result directory",
            false => "make the result directory",
        };
        atomic_file::check_folder(&path).map_err(failure(operation, &path))?;
        let lock = exists.then(|| lock(&path)).transpose()?;
        Ok(Self { path, force: false, lock })
    }

    fn check_content(&self, force: bool) -> Result<(), Error> {
        let path = || self.path.clone();
        let (ours, foreign): (Vec<_>, Vec<_>) = self.entries()?.into_iter().partition(is_ours);
        if let Some(found) = foreign.first().map(name) {
            return Err(Error::ForeignDirectory { path: path(), found });
        }
        // The record, if it is there, says best what the result is.
        let is_record = |entry: &&DirEntry| name(entry).ends_with(".json");
        let found = ours.iter().find(is_record).or(ours.first()).map(name);
        match found.filter(|_| !force) {
            Some(found) => Err(Error::ExistingResult { path: path(), found }),
            None => Ok(()),
        }
    }

    fn entries(&self) -> Result<Vec<DirEntry>, Error> {
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect);
        entries.map_err(failure("list the result directory", &self.path))
    }

    /// Makes the directory, or removes all files of earlier results from it.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            atomic_file::folder(&self.path)?;
            let lock = lock(&self.path)?;
            // Another program may have made it meanwhile.
            self.check_content(self.force)?;
            self.lock = Some(lock);
        }
        for entry in self.entries()?.into_iter().filter(is_ours) {
            let path = entry.path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failure("remove the earlier result", &path))?;
        }
        Ok(())
    }

    /// The directory, if it has results that [`Self::begin`] would remove.
    pub(crate) fn earlier(&self) -> Option<&Path> {
        let has_results = || self.entries().is_ok_and(|entries| entries.iter().any(is_ours));
        (self.lock.is_some() && has_results()).then_some(&self.path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file atomically. Makes the folder of a file in a folder.
    pub(crate) fn write(&self, name: impl AsRef<Path>, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        path.parent().map_or(Ok(()), atomic_file::folder)?;
        atomic_file::text(&path, text)
    }

    /// Writes all files that can be written, in their order, and returns the first error.
    pub(crate) fn write_all(&self, files: &[(String, String)]) -> Result<(), Error> {
        console::first_error(files.iter().map(|(name, text)| self.write(name, text)))
    }

    /// Adds a line to a file that exists.
    pub(crate) fn append(&self, name: &str, line: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        let file = OpenOptions::new().append(true).open(&path);
        let appended = file.and_then(|mut file| file.write_all(line.as_bytes()));
        appended.map_err(failure("append to", &path))
    }
}

fn lock(path: &Path) -> Result<FolderLock, Error> {
    let lock = FolderLock::take(path).map_err(failure("open the result directory", path))?;
    lock.ok_or_else(|| Error::DirectoryInUse { path: path.to_owned() })
}

fn name(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

fn failure(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    atomic_file::failure(operation, path)
}

/// Whether it is a file that a measurement writes, or the directory of the runs of a sweep or of
/// pairs.
fn is_ours(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_file() => is_our_file(&name(entry)),
        Ok(kind) if kind.is_dir() => {
            [files::CELLS, files::PAIRS].contains(&&*name(entry)) && holds_only_runs(&entry.path())
        }
        _ => false,
    }
}

fn is_our_file(name: &str) -> bool {
    let name = atomic_file::finished_name(name);
    files::NAMES.contains(&name) || files::is_log(name) || files::is_plot(name)
}

/// Whether everything in it is a folder of records of runs.
fn holds_only_runs(folders: &Path) -> bool {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    entries(folders).all(|folder| {
        let is_folder = folder.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder
            && entries(&folder.path()).all(|run| {
                let is_file = run.file_type().is_ok_and(|kind| kind.is_file());
                is_file && files::is_run(atomic_file::finished_name(&name(&run)))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files, each in its folder.
    fn with(names: &[&str]) -> tempfile::TempDir {
        let folder = test_needs::folder();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        folder
    }

    const RESULTS: [&[&str]; 4] = [
        &["result.json", "run-001.hlog", "plot-time.svg"],
        &["run-001.hlog"],
        &["sweep.json", "summary.txt", "plot-p99-by-size.svg", "cells/size=1/run-01.json"],
        &["search.json", "search.csv"],
    ];

    #[test]
    fn a_result_is_not_replaced_without_force() {
        for names in RESULTS {
            let folder = with(names);
            let error = Directory::open(folder.path(), false).unwrap_err().to_string();
            assert!(error.contains(names[0]) && error.contains("add --force"), "{error}");
            let mut directory = Directory::open(folder.path(), true).unwrap();
            assert!(folder.path().join(names[0]).exists(), "nothing is removed yet");
            assert_eq!(directory.earlier(), Some(folder.path()));
            directory.begin().unwrap();
            assert_eq!(directory.earlier(), None);
            drop(directory);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            Directory::open(folder.path(), false).unwrap();
        }
    }

    #[test]
    fn force_never_removes_what_is_no_result() {
        for name in ["thesis.tex", "cells/thesis.tex", "cells/a/thesis.tex", "index.html/x", "a/b"]
        {
            let folder = with(&["result.json", name]);
            let error = Directory::open(folder.path(), true).unwrap_err().to_string();
            assert!(error.contains("which is not a result of loadgen"), "{error}");
            Directory::continued(folder.path()).unwrap().begin().unwrap();
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn two_programs_never_write_into_one_directory() {
        let folder = test_needs::folder();
        let first = Directory::open(folder.path(), false).unwrap();
        let error = Directory::open(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("another loadgen writes into it now"), "{error}");
        drop(first);

        // Both find nothing; the one that begins first has it.
        let new = folder.path().join("new");
        let [mut first, mut second] = [(); 2].map(|()| Directory::open(&new, false).unwrap());
        first.begin().unwrap();
        first.write(files::RECORD, "first").unwrap();
        let error = second.begin().unwrap_err().to_string();
        assert!(error.contains("another loadgen writes into it now"), "{error}");
        drop(first);
        let error = second.begin().unwrap_err().to_string();
        assert!(error.contains("already contains a result"), "{error}");
        assert_eq!(fs::read_to_string(new.join(files::RECORD)).unwrap(), "first");
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_no_other_and_leaves_no_unfinished_one() {
        let folder = with(&["index.html/in its place"]);
        let directory = Directory::continued(folder.path()).unwrap();
        let files = [files::RECORD, "index.html", "intervals.csv"];
        let files = files.map(|name| (name.to_owned(), "x".to_owned()));
        let error = directory.write_all(&files).unwrap_err().to_string();
        assert!(error.contains("index.html"), "{error}");
        assert!(folder.path().join("intervals.csv").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_a_killed_program_has_left_is_removed_with_its_result() {
        let folder = with(&["result.json.x1Y2z3.unfinished", "cells/a/run-01.json.x.unfinished"]);
        let error = Directory::open(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("already contains a result"), "{error}");
        Directory::open(folder.path(), true).unwrap().begin().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
