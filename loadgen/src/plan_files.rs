//! The files that the flags of a plan name: requests, data, commands, bodies, certificates.
//!
//! They are read here only. So a coordinator knows all of them when the flags are parsed, and sends
//! them to its agents. An agent reads what it was sent, and no file of its own machine. The parser
//! of flags calls readers without a context, so this state belongs to the process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// Where the files of this process come from.
static FILES: Mutex<Files> = Mutex::new(Files::OfMachine);

/// A file as a coordinator sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanFile {
    path: PathBuf,
    /// In base64.
    content: String,
}

#[derive(Debug)]
enum Files {
    OfMachine,
    /// Those of the machine; what is read is stored.
    Stored(BTreeMap<PathBuf, Vec<u8>>),
    /// Those that a coordinator has sent.
    Received(BTreeMap<PathBuf, Vec<u8>>),
}

/// Stores the files that are read from now on. What is stored already stays.
pub(crate) fn store() {
    FILES.lock().unwrap_or_else(PoisonError::into_inner).store();
}

/// The files that were read.
pub(crate) fn stored() -> Vec<PlanFile> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner).stored()
}

/// Answers all reads from these files.
pub(crate) fn receive(files: &[PlanFile]) -> io::Result<()> {
    *FILES.lock().unwrap_or_else(PoisonError::into_inner) = Files::of_coordinator(files)?;
    Ok(())
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, u64::MAX)
}

/// Reads a file of text.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// The text that a file contains.
pub(crate) fn text(content: Vec<u8>) -> io::Result<String> {
    String::from_utf8(content)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Reads the first bytes of a file, which may be endless.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner).read(path, bytes_max)
}

impl Files {
    fn of_coordinator(files: &[PlanFile]) -> io::Result<Self> {
        let decoded = files.iter().map(|PlanFile { path, content }| {
            let content = BASE64.decode(content).map_err(io::Error::other)?;
            Ok((path.clone(), content))
        });
        decoded.collect::<io::Result<_>>().map(Self::Received)
    }

    fn store(&mut self) {
        if let Self::OfMachine = self {
            *self = Self::Stored(BTreeMap::new());
        }
    }

    fn stored(&self) -> Vec<PlanFile> {
        let Self::Stored(files) = self else { return Vec::new() };
        let file = |(path, content): (&PathBuf, _)| PlanFile {
            path: path.clone(),
            content: BASE64.encode::<&Vec<u8>>(content),
        };
        files.iter().map(file).collect()
    }

    fn read(&mut self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        if let Self::Received(files) = self {
            return files.get(path).cloned().ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the coordinator has not sent it")
            });
        }
        expect_readable(path)?;
        let mut content = Vec::new();
        File::open(path)?.take(bytes_max).read_to_end(&mut content)?;
        if let Self::Stored(files) = self {
            files.insert(path.to_owned(), content.clone());
        }
        Ok(content)
    }
}

/// Refuses what would be read only once, or wait for ever: `-`, and a named pipe. The pipe of a
/// shell's `<(...)` has no name in a folder, and is read.
fn expect_readable(path: &Path) -> io::Result<()> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if path.as_os_str() == "-" {
        return refused(
            "standard input is not read here, because a search or a sweep reads its files more \
             than once; write it into a file",
        );
    }
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_pipe && fs::canonicalize(path).is_ok() {
        return refused("it is a named pipe, which may never have a writer; write it into a file");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
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
            assert!(said.contains("read -: standard input is not read here"), "{said}");
        }
    }

    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let folder = test_needs::folder();
        let path = folder.path().join("pipe.csv");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        for said in said(path.to_str().unwrap()) {
            assert!(said.contains("pipe.csv: it is a named pipe"), "{said}");
        }
    }

    #[test]
    fn an_agent_reads_what_its_coordinator_has_read_and_nothing_else() {
        let folder = test_needs::folder();
        let path = folder.path().join("requests");
        fs::write(&path, [0, 255, 10]).unwrap();
        let mut coordinator = Files::Stored(BTreeMap::new());
        assert_eq!(coordinator.read(&path, 99).unwrap(), [0, 255, 10]);
        let mut agent = Files::of_coordinator(&coordinator.stored()).unwrap();
        fs::write(&path, "another file").unwrap();
        assert_eq!(agent.read(&path, 99).unwrap(), [0, 255, 10]);
        let own = agent.read(Path::new("/proc/self/stat"), 99).unwrap_err();
        assert!(own.to_string().contains("has not sent it"), "{own}");
    }

    #[test]
    fn a_sweep_that_parses_its_flags_for_each_cell_forgot_the_files_of_the_others() {
        let folder = test_needs::folder();
        let mut files = Files::OfMachine;
        for name in ["one", "other"] {
            files.store();
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            files.read(&path, 99).unwrap();
        }
        assert_eq!(files.stored().len(), 2);
    }

    #[test]
    fn a_file_is_stored_only_if_it_is_wanted_and_as_far_as_it_was_read() {
        let endless = Path::new("/dev/zero");
        let mut files = Files::OfMachine;
        assert_eq!(files.read(endless, 5).unwrap(), [0; 5]);
        assert_eq!(files.stored(), []);
        let mut files = Files::Stored(BTreeMap::new());
        files.read(endless, 5).unwrap();
        assert_eq!(BASE64.decode(&files.stored()[0].content).unwrap(), [0; 5]);
        assert!(files.read(Path::new("/no/such"), 5).is_err());
        assert_eq!(files.stored().len(), 1);
    }
}
