//! Which files a command line can name as input.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Refuses what would be read only once, or wait for ever: `-`, and a named pipe. The pipe of a
/// shell's `<(...)` has no name in a folder, and is read.
///
/// # Errors
///
/// A sentence that names the remedy.
pub(super) fn expect_readable(path: &Path) -> Result<(), String> {
    if path.as_os_str() == "-" {
        return Err("'-': standard input is not read here, because a search or a sweep reads its \
                    files more than once; write it into a file, and name that"
            .to_owned());
    }
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_pipe && fs::canonicalize(path).is_ok() {
        return Err(format!(
            "{} is a named pipe, which may never have a writer; write it into a file, and name \
             that",
            path.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use crate::wire::CommandFile;
    use crate::wire::http::{Body, DataFile, RequestFile};

    /// What is said of a file by all that read one.
    fn said(name: &str) -> [String; 4] {
        [
            CommandFile::read_shared(name).unwrap_err(),
            RequestFile::read_shared(name).unwrap_err(),
            DataFile::read_shared(name).unwrap_err(),
            Body::of_argument(&format!("@{name}")).unwrap_err(),
        ]
    }

    #[test]
    fn standard_input_is_refused_with_the_remedy() {
        for said in said("-") {
            assert!(said.contains("standard input is not read here"), "{said}");
        }
    }

    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let folder = test_needs::folder();
        let path = folder.path().join("pipe.csv");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        for said in said(path.to_str().unwrap()) {
            assert!(said.contains("is a named pipe"), "{said}");
        }
    }
}
