//! The commit that the build scripts put into `--version`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use test_needs::Need;

#[path = "../build.rs"]
#[allow(dead_code)] // `main` is for Cargo
mod of_evshard;

#[path = "../loadgen/build.rs"]
#[allow(dead_code)]
mod of_loadgen;

/// A repository with the sources of both packages in a folder of it.
struct Repository {
    folder: TempDir,
    place: &'static str,
}

impl Repository {
    fn new(place: &'static str) -> Self {
        let repository = Self { folder: test_needs::folder(), place };
        for package in ["", "loadgen"] {
            let package = repository.path().join(package);
            fs::create_dir_all(package.join("src")).unwrap();
            for file in ["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs"] {
                fs::write(package.join(file), "first").unwrap();
            }
        }
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    /// Where the package `evshard` is.
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.place)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let names = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder.path()).args(names).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a"]);
        self.git(&["rev-parse", "--short=12", "HEAD"])
    }

    /// What the build scripts of both packages find.
    fn found(&self) -> [Option<String>; 2] {
        [of_evshard::commit(&self.path()), of_loadgen::commit(&self.path().join("loadgen"))]
    }

    fn write(&self, file: impl AsRef<Path>) {
        fs::write(self.path().join(file), "second").unwrap();
    }
}

#[test]
fn a_clean_tree_has_its_commit() {
    if test_needs::missing(Need::Program("git")) {
        return;
    }
    let repository = Repository::new("");
    let commit = Some(repository.git(&["rev-parse", "--short=12", "HEAD"]));
    assert_eq!(repository.found(), [commit.clone(), commit]);
    // It is no source of either program.
    repository.write("README.md");
    let commit = Some(repository.commit());
    repository.write("README.md");
    assert_eq!(repository.found(), [commit.clone(), commit]);
}

#[test]
fn sources_that_differ_from_their_commit_are_dirty() {
    if test_needs::missing(Need::Program("git")) {
        return;
    }
    for (file, of_evshard, of_loadgen) in [
        ("src/main.rs", true, false),
        ("src/new.rs", true, false),
        ("loadgen/src/main.rs", false, true),
        ("Cargo.lock", true, true),
    ] {
        let repository = Repository::new("");
        repository.write(file);
        let dirty = repository.found().map(|commit| commit.unwrap().ends_with("-dirty"));
        assert_eq!(dirty, [of_evshard, of_loadgen], "{file}");
        let commit = Some(repository.commit());
        assert_eq!(repository.found(), [commit.clone(), commit], "{file}");
    }
}

#[test]
fn the_commit_of_another_repository_is_not_that_of_the_sources() {
    if test_needs::missing(Need::Program("git")) {
        return;
    }
    let copied = Repository::new("vendor/evshard");
    assert_eq!(copied.found(), [None, None]);

    let unpacked = Repository::new("");
    unpacked.git(&["rm", "-r", "--quiet", "--cached", "."]);
    unpacked.git(&["commit", "--quiet", "--allow-empty", "--message", "a"]);
    assert_eq!(unpacked.found(), [None, None]);
}

#[test]
fn sources_without_a_repository_have_no_commit() {
    let folder = test_needs::folder();
    assert_eq!(of_evshard::commit(folder.path()), None);
    assert_eq!(of_loadgen::commit(folder.path()), None);
}
