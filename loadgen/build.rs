//! Gives the program its version with the commit of its sources: `0.1.0 (0bbc7ad5e1f2)`.
//!
//! The commit has the suffix `-dirty` if the sources differed from it. Cargo runs this again when a
//! source changes, and not when the repository gets a commit that leaves the sources as they are.
//! So the commit is one whose sources the program has, and not always the newest.
//!
//! There is no commit in the version if the sources come from a package, or if they were copied
//! into another repository.

#![allow(clippy::print_stdout)] // Cargo reads it

use std::path::Path;
use std::process::Command;

/// What the program is built from, below the package.
const SOURCES: [&str; 5] = ["src", "Cargo.toml", "../Cargo.toml", "../Cargo.lock", "build.rs"];

/// Where the package stands in its repository.
const PACKAGE_IN_REPOSITORY: &str = "loadgen/";

fn main() {
    // A package has no files outside of itself. Cargo would run this each time for a missing one.
    for source in SOURCES.into_iter().filter(|source| Path::new(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    let variable = |name| std::env::var(name).expect("cargo sets it");
    let version = variable("CARGO_PKG_VERSION");
    let version = match commit(Path::new(&variable("CARGO_MANIFEST_DIR"))) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=VERSION_WITH_COMMIT={version}");
}

/// The commit of the sources of this package, if git knows it.
pub(crate) fn commit(package: &Path) -> Option<String> {
    let place = git(package, &["rev-parse", "--show-prefix"])?;
    if place != PACKAGE_IN_REPOSITORY {
        return None;
    }
    // Fails in a repository that does not have the package, such as one of a home directory.
    git(package, &["ls-files", "--error-unmatch", "Cargo.toml", "build.rs"])?;
    let commit = git(package, &["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(package, &[&["status", "--porcelain", "--"][..], &SOURCES].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What git prints in this directory, or nothing if it fails. Variables such as `GIT_DIR`, which a
/// hook of git sets, would lead it to another repository.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command.args(["--no-optional-locks", "-C"]).arg(directory).args(arguments);
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
