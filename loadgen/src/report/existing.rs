//! What a directory already contains before results are written into it.
//!
//! A result is never mixed with another one, and never overwritten unless the user says so.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::files;
use crate::atomic_file::{self, UNFINISHED};
use crate::error::Error;

/// Checks that the directory can be made and written to. Refuses a directory that contains anything
/// but results, and one with results unless they may be replaced (`force`). Changes nothing: see
/// [`clear`].
pub(crate) fn check(path: &Path, force: bool) -> Result<(), Error> {
    let operation = if path.exists() {
        check_content(path, force)?;
        "write into the result directory"
    } else {
        "make the result directory"
    };
    atomic_file::check_folder(path).map_err(failure(operation, path))
}

fn check_content(path: &Path, force: bool) -> Result<(), Error> {
    let entries = fs::read_dir(path).map_err(failure("list the result directory", path))?;
    let (ours, foreign): (Vec<_>, Vec<_>) = entries.flatten().partition(is_ours);
    let name = |entry: &DirEntry| entry.file_name().to_string_lossy().into_owned();
    if let Some(found) = foreign.first().map(name) {
        return Err(Error::ForeignDirectory { path: path.to_owned(), found });
    }
    // The record, if it is there, says best what the result is.
    let is_record = |entry: &&DirEntry| name(entry).ends_with(".json");
    let found = ours.iter().find(is_record).or(ours.first()).map(name);
    if let Some(found) = found.filter(|_| !force) {
        return Err(Error::ExistingResult { path: path.to_owned(), found });
    }
    Ok(())
}

/// Makes the directory, or removes all files of earlier results from it.
pub(crate) fn clear(path: &Path) -> Result<(), Error> {
    atomic_file::folder(path)?;
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(is_ours) {
        let path = entry.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failure("remove the earlier result", &path))?;
    }
    Ok(())
}

fn failure(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    atomic_file::failure(operation, path)
}

/// Whether it is a file that a run, a sweep or a search writes, or the directory of a sweep's runs.
fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    match entry.file_type() {
        Ok(kind) if kind.is_file() => is_our_file(&name),
        Ok(kind) if kind.is_dir() => name == files::CELLS && holds_only_runs(&entry.path()),
        _ => false,
    }
}

fn is_our_file(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    files::NAMES.contains(&name) || files::is_log(name) || files::is_plot(name)
}

/// Whether everything in it is the record of a run of a sweep.
fn holds_only_runs(cells: &Path) -> bool {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    entries(cells).all(|cell| {
        let is_folder = cell.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder
            && entries(&cell.path()).all(|run| {
                let name = run.file_name().to_string_lossy().into_owned();
                let name = name.strip_suffix(UNFINISHED).unwrap_or(&name);
                run.file_type().is_ok_and(|kind| kind.is_file()) && files::is_run(name)
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
            let error = check(folder.path(), false).unwrap_err().to_string();
            assert!(error.contains(names[0]) && error.contains("add --force"), "{error}");
            check(folder.path(), true).unwrap();
            assert!(folder.path().join(names[0]).exists(), "nothing is removed yet");
            clear(folder.path()).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            check(folder.path(), false).unwrap();
        }
    }

    #[test]
    fn force_never_removes_what_is_no_result() {
        for name in ["thesis.tex", "cells/thesis.tex", "cells/a/thesis.tex", "index.html/x", "a/b"]
        {
            let folder = with(&["result.json", name]);
            let error = check(folder.path(), true).unwrap_err().to_string();
            assert!(error.contains("which is not a result of loadgen"), "{error}");
            clear(folder.path()).unwrap();
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }
}
