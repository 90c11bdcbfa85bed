//! Where a command writes one text that the user named a place for: standard output or a file.
//!
//! Every command opens its destinations before it measures, so that a bad path costs no
//! measurement. Opening changes nothing. Regular files are replaced in one step, at the place that
//! links lead to. Devices and pipes are never replaced: they are written into.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::io::Errno;

use crate::atomic_file;
use crate::console;
use crate::error::Error;

/// How long a named pipe may be without a reader, which another program may be about to start.
const READER_DELAY_MAX: Duration = Duration::from_secs(5);

/// Time between two attempts to open a named pipe.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Most symbolic links on the way to a file, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// A destination as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Stdout,
    File(PathBuf),
}

/// So that a flag can have a destination as its value.
impl From<OsString> for Destination {
    fn from(name: OsString) -> Self {
        if STDOUT.iter().any(|stdout| name == *stdout) {
            Self::Stdout
        } else {
            Self::File(name.into())
        }
    }
}

impl Destination {
    /// Checks that a later write can succeed.
    pub(crate) fn open(&self) -> Result<Output, Error> {
        match self {
            Self::Stdout => Ok(Output::Stdout),
            Self::File(path) => match OutputFile::open(path) {
                Ok(file) => Ok(Output::File { path: path.clone(), file }),
                Err(source) => Err(Error::OpenOutput { path: path.clone(), source }),
            },
        }
    }
}

/// An opened destination.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout,
    File { path: PathBuf, file: OutputFile },
}

impl Output {
    /// Writes the text. A reader that closes a pipe early (`| head`) is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Error> {
        match self {
            Self::Stdout => console::print(text),
            Self::File { path, file } => match file.write(text) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => written.map_err(atomic_file::failure("write", path)),
            },
        }
    }

    /// Opens it for lines that are written while a run lasts. A file of this name is emptied.
    pub(crate) fn stream(&self) -> Result<File, Error> {
        match self {
            Self::Stdout => {
                let descriptor = io::stdout().as_fd().try_clone_to_owned();
                descriptor.map(File::from).map_err(Error::WriteResults)
            }
            Self::File { path, file } => file.stream().map_err(atomic_file::failure("open", path)),
        }
    }

    /// How messages name it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Whether a write leaves nothing of what was there before.
    pub(crate) fn is_file(&self) -> bool {
        matches!(
            self,
            Self::File { file: OutputFile::Replaced(_) | OutputFile::Overwritten(_), .. }
        )
    }

    /// The file, if it exists and a write would replace its content.
    pub(crate) fn earlier(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } if self.is_file() && path.exists() => Some(path),
            _ => None,
        }
    }
}

/// How a file is written.
#[derive(Debug)]
pub(crate) enum OutputFile {
    /// A regular file, or nothing yet: in one step.
    Replaced(PathBuf),
    /// A regular file in a folder that takes no other: its content makes way for the new one.
    Overwritten(File),
    /// A device, a pipe or an inherited descriptor: the text is added.
    Stream(File),
}

impl OutputFile {
    fn open(path: &Path) -> io::Result<Self> {
        let Some(path) = end_of_links(path)? else {
            return OpenOptions::new().append(true).open(path).map(Self::Stream);
        };
        let kind = match fs::metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return atomic_file::check_file(&path).map(|()| Self::Replaced(path));
            }
            Err(error) => return Err(error),
        };
        if kind.is_fifo() {
            return open_pipe(&path).map(Self::Stream);
        }
        // A file that must not be written is not replaced either.
        let file = OpenOptions::new().write(true).open(&path)?;
        if !kind.is_file() {
            return Ok(Self::Stream(file));
        }
        match atomic_file::check_file(&path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(Self::Overwritten(file))
            }
            checked => checked.map(|()| Self::Replaced(path)),
        }
    }

    fn stream(&self) -> io::Result<File> {
        match self {
            Self::Replaced(path) => File::create(path),
            Self::Overwritten(file) => file.set_len(0).and_then(|()| file.try_clone()),
            Self::Stream(file) => file.try_clone(),
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Replaced(path) => atomic_file::replace(path, text),
            Self::Overwritten(file) => file.set_len(0).and_then(|()| add(file, text)),
            Self::Stream(file) => add(file, text),
        }
    }
}

fn add(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes()).and_then(|()| file.flush())
}

/// The path behind all symbolic links, which need not exist; nothing for a descriptor, such as
/// `/dev/fd/3`. Replacing the file behind a descriptor would leave the descriptor with the old one.
fn end_of_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if !path.is_symlink() {
            return Ok(Some(path));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if fs::canonicalize(folder)?.starts_with("/proc") {
            return Ok(None);
        }
        path = folder.join(fs::read_link(&path)?);
    }
    Err(Errno::LOOP.into())
}

/// Opens a named pipe. Waits a while for its reader; a plain open would wait for ever.
fn open_pipe(path: &Path) -> io::Result<File> {
    let begun = Instant::now();
    loop {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NXIO) if begun.elapsed() < READER_DELAY_MAX => thread::sleep(TRY_AGAIN),
            Err(Errno::NXIO) => {
                return Err(io::Error::other("no program reads this pipe; start its reader first"));
            }
            opened => {
                let file = File::from(opened?);
                fcntl_setfl(&file, OFlags::empty())?;
                return Ok(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), Error> {
        Destination::File(path.to_owned()).open()?.write(text)
    }

    #[test]
    fn standard_output_has_several_names() {
        for name in ["-", "/dev/stdout", "/dev/fd/1"] {
            assert_eq!(Destination::from(OsString::from(name)), Destination::Stdout);
        }
        assert_ne!(Destination::from(OsString::from("./-")), Destination::Stdout);
    }

    #[test]
    fn opening_changes_nothing() {
        let folder = test_needs::folder();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "earlier").unwrap();
        let opened = Destination::File(old.clone()).open().unwrap();
        assert_eq!(opened.earlier(), Some(&*old));
        assert_eq!(Destination::File(new.clone()).open().unwrap().earlier(), None);
        assert_eq!(fs::read_to_string(&old).unwrap(), "earlier");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_not_replaced_and_a_full_one_is_an_error() {
        write(Path::new("/dev/null"), "nothing").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let error = write(Path::new("/dev/full"), "x").unwrap_err().to_string();
        assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    }

    #[test]
    fn a_link_stays_whether_it_leads_to_a_file_or_to_nothing_yet() {
        let folder = test_needs::folder();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        symlink("real", &link).unwrap();
        for text in ["first", "second"] {
            write(&link, text).unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read_to_string(&real).unwrap(), text);
        }
        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(write(&circle, "x").is_err());
    }

    #[test]
    fn the_file_behind_a_descriptor_is_written_into() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before\n").unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        write(Path::new(&path), "after\n").unwrap();
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "before\nafter\n");
    }

    #[test]
    fn a_named_pipe_waits_for_its_reader_and_stays() {
        let folder = test_needs::folder();
        let path = folder.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        write(&path, "text").unwrap();
        assert_eq!(reader.join().unwrap(), "text");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_folder_a_missing_folder_and_a_socket_are_refused_when_they_are_opened() {
        let folder = test_needs::folder();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for bad in [folder.path(), &folder.path().join("no/such.json"), &socket] {
            let error = Destination::File(bad.to_owned()).open().unwrap_err().to_string();
            assert!(error.contains(bad.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_file_in_a_folder_that_takes_no_other_is_overwritten() {
        let folder = test_needs::folder();
        let path = folder.path().join("x");
        fs::write(&path, "a long earlier text").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        OutputFile::Overwritten(file).write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o400, 0o400);
    }
}
