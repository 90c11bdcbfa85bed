//! Atomic writes: a file is either complete or does not exist. Checks whether a later write can
//! succeed, which leave nothing behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::error::Error;

/// Suffix of a file's name until the file is complete.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// Creates a folder and its parents.
pub(crate) fn folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failure("make", path))
}

/// Checks that files can be written into a folder, which need not exist. Leaves nothing behind.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    let probe = path.join(format!("probe{UNFINISHED}"));
    let checked = fs::create_dir_all(path)
        .and_then(|()| File::create(&probe))
        .and_then(|_| fs::remove_file(&probe));
    for folder in missing {
        // Another program may use it already; then it is not empty, and stays.
        let _ = fs::remove_dir(folder);
    }
    checked
}

/// Checks that a file which does not exist can be written. Leaves nothing behind.
pub(crate) fn check_new_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    fs::remove_file(path)
}

/// Writes a file under a temporary name, and then renames it.
pub(crate) fn text(path: &Path, text: &str) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(failure("write", path))
}

/// Writes a record as JSON, in the same way as [`text`].
pub(crate) fn json(path: &Path, record: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(record).map_err(io::Error::from);
    text(path, &(json.map_err(failure("write", path))? + "\n"))
}

/// Converts an I/O error of a file to an error of the program.
pub(crate) fn failure(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let temporary = test_needs::folder();
        let inner = temporary.path().join("a/b");
        folder(&inner).unwrap();
        let path = inner.join("x.json");
        text(&path, "a long first text").unwrap();
        json(&path, &[1, 2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn a_check_leaves_what_was_there_and_nothing_else() {
        let temporary = test_needs::folder();
        let new = temporary.path().join("a/b/c");
        check_folder(&new).unwrap();
        check_new_file(&temporary.path().join("x.json")).unwrap();
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
        folder(&new).unwrap();
        text(&new.join("x"), "kept").unwrap();
        check_folder(&new).unwrap();
        assert_eq!(fs::read_to_string(new.join("x")).unwrap(), "kept");
        assert!(check_folder(Path::new("/proc/no/such")).is_err());
        assert!(check_new_file(Path::new("/proc/no/such.json")).is_err());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let error = text(Path::new("/proc/no/such.json"), "x").unwrap_err().to_string();
        assert!(error.contains("/proc/no/such.json"), "{error}");
    }
}
