//! The real program, started and waited for, and what every run must satisfy.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::servers::Server;

/// Longest any single run may take before the test calls it a hang.
pub(crate) const RUN_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished run has left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Finished {
    /// Leaves out what the program says of a machine that refuses something: that is not the
    /// matter of any test.
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lines = stderr.split_inclusive('\n').filter(|line| !line.contains(" refused here: "));
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: lines.collect(),
        }
    }
}

#[track_caller]
pub(crate) fn wait(child: Child) -> Finished {
    wait_within(child, RUN_TIME_MAX)
}

/// Waits for a command of several runs.
#[track_caller]
pub(crate) fn wait_within(mut child: Child, most: Duration) -> Finished {
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let _ = pipes.0.as_mut().map(|pipe| pipe.read_to_end(&mut stdout));
        let _ = pipes.1.as_mut().map(|pipe| pipe.read_to_end(&mut stderr));
        (stdout, stderr)
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > most {
            child.kill().unwrap();
            panic!("the run hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = reader.join().unwrap();
    Output { status, stdout, stderr }.into()
}

#[track_caller]
pub(crate) fn loadgen(words: &[&str]) -> Finished {
    wait(command(words).spawn().unwrap())
}

/// A short run against `server` with more flags, its JSON record on stdout.
#[track_caller]
pub(crate) fn load(server: &Server, flags: &str) -> Finished {
    let address = server.address();
    let short = "--duration 200ms --warmup 50ms --json -";
    let words = ["run", &address].into_iter();
    let words = words.chain(short.split(' ')).chain(flags.split_whitespace());
    loadgen(&words.collect::<Vec<_>>())
}

#[track_caller]
pub(crate) fn count(record: &Value, name: &str) -> u64 {
    let value = &record["counters"][name];
    value.as_u64().unwrap_or_else(|| panic!("{name}: {record}"))
}

#[track_caller]
pub(crate) fn expect_conserved(record: &Value) {
    let not_wanted = count(record, "unexpected_status")
        + count(record, "changed_bodies")
        + count(record, "wrong_values");
    let answered = count(record, "completed") + not_wanted + count(record, "failed");
    let unanswered = count(record, "timed_out") + count(record, "censored");
    assert_eq!(count(record, "sent"), answered + unanswered, "{record}");
    let scheduled = count(record, "sent") + count(record, "unsent");
    assert_eq!(count(record, "scheduled"), scheduled, "{record}");
}

/// The load went well; whether the loader was punctual enough to be believed (exit code 3 if not)
/// depends on what else the machine is doing during the tests.
#[track_caller]
pub(crate) fn expect_no_errors(finished: &Finished) {
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
}

#[track_caller]
pub(crate) fn expect_one_line(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(finished.stderr.contains(said), "{said:?} in {finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");
}

/// `loadgen report` makes every file of a directory again: into another one, and in place.
#[track_caller]
pub(crate) fn expect_the_same_when_made_again(out: &Path) {
    let folder = test_needs::folder();
    let copy = folder.path().join("copy");
    let (from, to) = (out.to_str().unwrap(), copy.to_str().unwrap());
    let made = loadgen(&["report", from, "--view=all", "--out", to]);
    assert_eq!((made.code, &*made.stderr), (Some(0), ""), "{made:?}");
    let contents = files(out);
    assert_eq!(files(&copy), contents);
    let made = loadgen(&["report", from, "--view=all"]);
    assert_eq!((made.code, &*made.stderr), (Some(0), ""), "{made:?}");
    assert_eq!(files(out), contents);
    let refused = loadgen(&["report", from, "--view=all", "--out", to]);
    expect_one_line(&refused, 1, "--force");
}

/// The contents of all files of a directory and those in it, by path.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < RUN_TIME_MAX, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let line = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Whether the process has ended, without taking note of how.
pub(crate) fn has_ended(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

pub(crate) fn unused_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
