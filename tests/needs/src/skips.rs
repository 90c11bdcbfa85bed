//! The tests that were skipped: one line for each at once, and the list at the end of the run.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};

use crate::Need;

/// The environment variable that makes missing needs failures.
pub(crate) const REQUIRE: &str = "EVSHARD_TEST_REQUIRE";

/// The name in [`REQUIRE`] for all needs.
const ALL: &str = "all";

/// A need that was missing, why, and what was skipped for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// Why the need was not met.
    pub reason: String,
    /// The tests that did not run.
    pub tests: Vec<String>,
    /// The tests of which a part did not run.
    pub in_part: Vec<String>,
}

/// Prints that the calling test is skipped, and adds it to the list.
#[track_caller]
pub(crate) fn record(need: Need, reason: &str, in_part: bool) {
    let test = name_of_test(Location::caller());
    let kind = if in_part { "skipped in part" } else { "skipped" };
    let line = format!("{kind}\t{need}\t{reason}\t{test}\n");
    let file = folder().join(run());
    if fs::read_to_string(&file).unwrap_or_default().contains(&line) {
        return; // A test asks again for each of its parts.
    }
    // Straight to standard error: what goes by `eprintln!` is captured.
    let _ = writeln!(io::stderr(), "{kind}: needs {need}: {test} ({reason})");
    let written = fs::create_dir_all(folder())
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&file))
        .and_then(|mut list| list.write_all(line.as_bytes()));
    if let Err(error) = written {
        let _ = writeln!(io::stderr(), "(not on the list at the end: {}: {error})", file.display());
    }
}

/// Every skip of this run of `cargo test` so far, by the need. Removes them, and those of runs that
/// have ended.
///
/// # Errors
///
/// If `EVSHARD_TEST_REQUIRE` has a name that no need has, or the file cannot be read.
pub fn take_skips() -> io::Result<BTreeMap<String, Skip>> {
    required(&std::env::var(REQUIRE).unwrap_or_default()).map_err(io::Error::other)?;
    let text = match fs::read_to_string(folder().join(run())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut skips: BTreeMap<String, Skip> = BTreeMap::new();
    for line in text.lines() {
        let [kind, need, reason, test] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let skip = skips.entry(need.to_owned()).or_default();
        reason.clone_into(&mut skip.reason);
        let tests = if kind == "skipped" { &mut skip.tests } else { &mut skip.in_part };
        tests.push(test.to_owned());
    }
    for entry in fs::read_dir(folder()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.split('-').next().unwrap_or_default();
        if name == run() || !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(skips)
}

/// Whether `EVSHARD_TEST_REQUIRE` makes a missing need a failure.
#[track_caller]
pub(crate) fn is_required(need: Need) -> bool {
    let name = need.name();
    assert!(
        Need::names().any(|known| known == name),
        "add `{name}` to `Need::names` or `PROGRAMS`"
    );
    let text = std::env::var(REQUIRE).unwrap_or_default();
    let required = required(&text).unwrap_or_else(|error| panic!("{error}"));
    required.iter().any(|required| [ALL, name].contains(required))
}

/// The names in `text`, a value of `EVSHARD_TEST_REQUIRE`; an error if no need has one of them.
fn required(text: &str) -> Result<Vec<&str>, String> {
    let names: Vec<&str> = text.split(',').filter(|name| !name.is_empty()).collect();
    let is_known = |name: &&str| *name == ALL || Need::names().any(|known| known == *name);
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(names),
        Some(name) => {
            let known: Vec<&str> = std::iter::once(ALL).chain(Need::names()).collect();
            Err(format!("{REQUIRE} has the name `{name}`; the names are {}", known.join(", ")))
        }
    }
}

/// The test harness names a test's thread after it, except when it runs one test at a time.
fn name_of_test(caller: &Location<'_>) -> String {
    let program = program_name();
    match std::thread::current().name() {
        Some(name) if name != "main" => format!("{program}: {name}"),
        _ => format!("{program}: {}:{}", caller.file(), caller.line()),
    }
}

/// The name of this test program without its hash.
fn program_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.rsplit_once('-').map_or(stem.clone(), |(name, _)| name.to_owned())
}

/// Beside the test programs, which stand in `target/debug/deps`.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(Path::new(".")).join("skipped-tests")
}

/// The run that this program belongs to: its parent's process id and start time, so that another
/// process with the same number is another run.
fn run() -> String {
    let parent = std::os::unix::process::parent_id();
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let started = after_name.split(' ').nth(19).unwrap_or("0");
    format!("{parent}-{started}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_names_are_those_of_needs_or_an_error_that_lists_them() {
        assert_eq!(required(""), Ok(vec![]));
        assert_eq!(required("all"), Ok(vec!["all"]));
        let names = ["io_uring", "descriptors", "haproxy"];
        assert_eq!(required(&names.join(",")), Ok(names.to_vec()));
        for misspelled in ["iouring", "io_uring, ipv6", "descriptors (1000)", "ALL"] {
            let error = required(misspelled).expect_err(misspelled);
            assert!(error.contains("the names are all, io_uring, "), "{error}");
        }
    }
}
