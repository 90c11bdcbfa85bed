//! Atomic writes: a file is either complete or does not exist. Checks whether a later write can
//! succeed, which leave nothing behind.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

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

/// Writes a file under a temporary name, and then renames it. The permissions of a file that was
/// there stay.
///
/// The file that a link leads to is replaced, and not the link. A device or a pipe is never
/// replaced: it is written into.
pub(crate) fn text(path: &Path, text: &str) -> Result<(), Error> {
    let write = || match Destination::of(path)? {
        Destination::File { path, permissions } => replace(&path, text, permissions),
        Destination::Stream => {
            OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
        }
        Destination::DanglingLink => fs::write(path, text),
    };
    write().map_err(failure("write", path))
}

/// What a path leads to.
enum Destination {
    /// A regular file or nothing.
    File { path: PathBuf, permissions: Option<Permissions> },
    /// A device, a pipe or a directory.
    Stream,
    /// A link to a file that does not exist.
    DanglingLink,
}

impl Destination {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {
                let permissions = Some(found.permissions());
                Ok(Self::File { path: fs::canonicalize(path)?, permissions })
            }
            Ok(_) => Ok(Self::Stream),
            Err(error) if error.kind() == ErrorKind::NotFound => match path.is_symlink() {
                true => Ok(Self::DanglingLink),
                false => Ok(Self::File { path: path.to_owned(), permissions: None }),
            },
            Err(error) => Err(error),
        }
    }
}

fn replace(path: &Path, text: &str, permissions: Option<Permissions>) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let written = fs::write(&unfinished, text)
        .and_then(|()| permissions.map_or(Ok(()), |kept| fs::set_permissions(&unfinished, kept)))
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Part of a file is of no use. It may not exist.
        let _ = fs::remove_file(&unfinished);
    }
    written
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
    fn a_device_a_link_and_permissions_survive_a_result() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        let temporary = test_needs::folder();
        let (real, link) = (temporary.path().join("real"), temporary.path().join("link"));
        symlink(&real, &link).unwrap();
        text(&link, "first").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o600)).unwrap();
        text(&link, "second").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "second");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        text(Path::new("/dev/null"), "nothing").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let error = text(Path::new("/dev/full"), "x").unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 2);
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
