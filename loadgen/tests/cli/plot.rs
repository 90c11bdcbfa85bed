//! `loadgen plot` as a user or a script runs it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::program::*;

const PICTURE: &str = r#"{"title": "CPU time", "charts": [{"title": "GET", "label": "µs",
    "rows": [{"name": "new", "median": 11.2, "low": 10.9, "high": 12.3}]}]}"#;

#[test]
fn a_description_becomes_a_picture_in_a_file_or_on_standard_output() {
    let folder = test_needs::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("picture.json"), PICTURE).unwrap();
    let printed = loadgen(&["plot", &path("picture.json")]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.stdout.starts_with("<svg ") && printed.stdout.contains(">new<"), "{printed:?}");
    assert_eq!(printed.stderr, "");
    let written = loadgen(&["plot", &path("picture.json"), "--out", &path("picture.svg")]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{written:?}");
    assert_eq!(std::fs::read_to_string(path("picture.svg")).unwrap(), printed.stdout);
}

#[test]
fn a_description_comes_from_standard_input() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["plot", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PICTURE.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"<svg "), "{output:?}");
}

#[test]
fn a_description_that_cannot_be_read_is_one_line_with_advice() {
    let folder = test_needs::folder();
    let path = folder.path().join("picture.json");
    std::fs::write(&path, PICTURE.replace("10.9", "11.9")).unwrap();
    for (path, expected) in [
        (path.to_str().unwrap(), "row \"new\": the median 11.2 is not in from 11.9 to 12.3"),
        ("/no/such", "name a file, or - for standard input"),
    ] {
        let finished = loadgen(&["plot", path]);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        let complaint = &finished.stderr;
        assert!(complaint.contains(expected) && complaint.lines().count() == 1, "{complaint}");
        assert!(complaint.contains("'loadgen plot --help' has an example"), "{complaint}");
    }
}
