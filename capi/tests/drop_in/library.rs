//! The library under the names that programs load, and C programs that were built with the
//! distribution's headers and libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The folder of this crate.
pub(crate) const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with the library under all its names.
pub(crate) struct Library {
    folder: TempDir,
}

impl Library {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = Path::new(CRATE).join("../scripts/libevent.sh");
        let linked = Command::new(script).arg("link").arg(built()).arg(folder.path()).output();
        let linked = linked.expect("the script runs");
        assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The library that cargo built beside this test.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.with_file_name("libevshard_libevent.so")
}

/// Runs a command; its output, if it succeeded.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a command printed.
#[track_caller]
pub(crate) fn printed(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).expect("text")
}

/// A C or C++ program of `tests/c`, linked with the distribution's library.
pub(crate) fn compile(source: &str, folder: &Path) -> PathBuf {
    let program = folder.join(source.replace('.', "_"));
    let compiler = if source.ends_with(".cpp") { "c++" } else { "cc" };
    let source = Path::new(CRATE).join("tests/c").join(source);
    run(Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .args([program.as_path(), source.as_path()])
        .args(["-levent_core", "-levent_pthreads", "-lpthread"]));
    program
}
