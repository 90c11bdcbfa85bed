//! Atomic writes: a file is either complete or what it was before. Checks whether a later write can
//! succeed, which leave nothing behind.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::Error;

/// Suffix of a file's name until the file is complete.
const UNFINISHED: &str = ".unfinished";

/// Creates a folder and its parents.
pub(crate) fn folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failure("make", path))
}

/// Checks that files can be written into a folder, or that a missing folder can be made. Changes
/// nothing.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    let is_there = |folder: &&Path| folder.as_os_str().is_empty() || folder.exists();
    let first = path.ancestors().find(is_there).unwrap_or(path);
    unfinished(&first.join("check")).map(drop)
}

/// Checks that a file in this folder can be replaced or made. Changes nothing.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    unfinished(path).map(drop)
}

/// Writes a file under a temporary name, and then renames it. Owner and permissions of a file that
/// was there stay.
pub(crate) fn text(path: &Path, text: &str) -> Result<(), Error> {
    replace(path, text).map_err(failure("write", path))
}

/// As [`text`]; a file that something is mounted on cannot be renamed, and is overwritten.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut file = unfinished(path)?;
    file.as_file_mut().write_all(text.as_bytes())?;
    if let Ok(earlier) = fs::metadata(path) {
        // Only the superuser may give a file away. For others the file is theirs from now on.
        let _ = chown(file.path(), Some(earlier.uid()), Some(earlier.gid()));
        fs::set_permissions(file.path(), earlier.permissions())?;
    }
    // Some file systems report that they are full only now.
    file.as_file().sync_all()?;
    match file.persist(path) {
        Err(refused) if refused.error.kind() == ErrorKind::ResourceBusy => fs::write(path, text),
        replaced => Ok(replaced.map(drop)?),
    }
}

/// A new file beside `path`, under a name of its own, so that two programs that write to one path
/// do not disturb each other. It is removed unless it is renamed.
fn unfinished(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut prefix = OsString::from(name);
    prefix.push(".");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(UNFINISHED).make_in(folder, |path| File::create_new(path))
}

/// The name that a file of this name has when it is complete.
pub(crate) fn finished_name(name: &str) -> &str {
    let unfinished = name.strip_suffix(UNFINISHED).and_then(|name| name.rsplit_once('.'));
    unfinished.map_or(name, |(name, _)| name)
}

/// A folder that only this program writes into, until this is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl FolderLock {
    /// Locks a folder; nothing if another program has locked it. A file system without locks
    /// grants every lock.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let folder = File::open(path)?;
        match folder.try_lock() {
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Some(Self(folder))),
        }
    }
}

/// Converts an I/O error of a file to an error of the program.
pub(crate) fn failure(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let temporary = test_needs::folder();
        let inner = temporary.path().join("a/b");
        folder(&inner).unwrap();
        let path = inner.join("x.json");
        text(&path, "a long first text").unwrap();
        text(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(count(&inner), 1);
    }

    #[test]
    fn permissions_survive_a_result_and_new_files_have_those_of_the_user_s_mask() {
        let temporary = test_needs::folder();
        let (path, plain) = (temporary.path().join("x"), temporary.path().join("plain"));
        text(&path, "first").unwrap();
        fs::write(&plain, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), mode(&plain));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        text(&path, "second").unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o640, "second".to_owned()));
    }

    #[test]
    fn a_write_that_fails_at_its_last_step_leaves_no_unfinished_file() {
        let temporary = test_needs::folder();
        let path = temporary.path().join("x.json");
        fs::create_dir_all(path.join("a folder is in its place")).unwrap();
        let error = text(&path, "x").unwrap_err().to_string();
        assert!(error.contains("x.json"), "{error}");
        assert_eq!(count(temporary.path()), 1);
    }

    #[test]
    fn unfinished_files_of_two_programs_have_different_names() {
        let temporary = test_needs::folder();
        let path = temporary.path().join("result.json");
        let (one, other) = (unfinished(&path).unwrap(), unfinished(&path).unwrap());
        assert_ne!(one.path(), other.path());
        for file in [one, other] {
            let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(finished_name(&name), "result.json");
        }
        assert_eq!(finished_name("result.json"), "result.json");
        assert_eq!(count(temporary.path()), 0);
    }

    #[test]
    fn a_check_leaves_what_was_there_and_nothing_else() {
        let temporary = test_needs::folder();
        let new = temporary.path().join("a/b/c");
        check_folder(&new).unwrap();
        check_file(&temporary.path().join("x.json")).unwrap();
        assert_eq!(count(temporary.path()), 0);
        folder(&new).unwrap();
        text(&new.join("x"), "kept").unwrap();
        check_folder(&new).unwrap();
        assert_eq!(fs::read_to_string(new.join("x")).unwrap(), "kept");
        for impossible in [Path::new("/proc/no/such"), &new.join("x/y")] {
            assert!(check_folder(impossible).is_err(), "{}", impossible.display());
            assert!(check_file(&impossible.join("z")).is_err(), "{}", impossible.display());
        }
    }

    #[test]
    fn a_folder_is_locked_by_one_program_at_a_time() {
        let temporary = test_needs::folder();
        let lock = FolderLock::take(temporary.path()).unwrap();
        assert!(lock.is_some());
        assert!(FolderLock::take(temporary.path()).unwrap().is_none());
        drop(lock);
        assert!(FolderLock::take(temporary.path()).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let error = text(Path::new("/proc/no/such.json"), "x").unwrap_err().to_string();
        assert!(error.contains("/proc/no/such.json"), "{error}");
    }
}
