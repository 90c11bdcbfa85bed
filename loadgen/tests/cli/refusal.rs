//! Runs that cannot start: each ends with one line that says what to do.

use std::fs;
use std::process::Command;

use crate::program::*;
use crate::servers::Server;

#[test]
fn a_refused_connect_is_one_line_with_advice() {
    let finished = loadgen(&["run", &unused_address(), "-c", "4", "-t", "2"]);
    expect_one_line(&finished, 1, "connection refused; is the server running?");
}

#[test]
fn a_refused_connect_leaves_no_file_and_changes_none() {
    let folder = test_needs::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let address = unused_address();
    let refused = "connection refused; is the server running?";
    let (out, json) = (path("new/out"), path("new.json"));
    let run = ["run", &address, "--out", &out, "--json", &json];
    expect_one_line(&loadgen(&run), 1, refused);
    let search = ["search", "-q", &address, "--slo", "p99<1ms", "--out", &out, "--json", &json];
    expect_one_line(&loadgen(&search), 1, refused);
    let sweep = ["sweep", "-q", &address, "--var", "rate=1k", "--out", &out];
    expect_one_line(&loadgen(&sweep), 1, refused);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let (out, json) = (path("old"), path("old.json"));
    fs::create_dir(&out).unwrap();
    let earlier = [format!("{out}/result.json"), format!("{out}/run-001.hlog"), json.clone()];
    earlier.iter().for_each(|file| fs::write(file, "earlier").unwrap());
    let run = ["run", &address, "--out", &out, "--json", &json, "--force"];
    expect_one_line(&loadgen(&run), 1, refused);
    for file in earlier {
        assert_eq!(fs::read_to_string(&file).unwrap(), "earlier", "{file}");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_one_line() {
    let finished = loadgen(&["run", "no-such-host.invalid:5555"]);
    expect_one_line(&finished, 1, "resolve no-such-host.invalid:5555");
}

#[test]
fn a_bad_path_for_the_record_fails_before_the_run() {
    let server = Server::echo();
    let address = server.address();
    let finished = loadgen(&["run", &address, "--json", "/no/such/folder/result.json"]);
    expect_one_line(&finished, 1, "/no/such/folder/result.json");
    assert_eq!(server.accepted(), 0);
}

#[test]
fn more_connections_than_the_machine_has_ports_fail_at_once() {
    let finished = loadgen(&["run", &unused_address(), "-c", "70000"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("70000 connections"), "{finished:?}");
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised_aloud() {
    let address = Server::echo().address();
    let program = env!("CARGO_BIN_EXE_loadgen");
    let flags = "-c 40 --duration 50ms --warmup 0s";
    let line = format!("ulimit -Sn 32; exec {program} run {address} {flags}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let finished = Finished::from(output);
    expect_no_errors(&finished);
    assert!(finished.stderr.contains("raised the limit of open files from 32"), "{finished:?}");

    let line = format!("ulimit -n 32; exec {program} run {address} {flags}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    expect_one_line(&output.into(), 1, "the hard limit is 32");
}

#[test]
fn usage_errors_are_one_line_and_exit_with_64() {
    for (words, said) in [
        (&["run", "--connections", "0"][..], "--connections must be at least 1"),
        (&["run", "--size", "much"], "--size"),
        (&["run", "--size", "1GiB"], "at most 64MiB"),
        (&["run", "--duration", "10"], "--duration"),
        (&["run", "--no-such-flag"], "--no-such-flag"),
        (&["run", "localhost"], "no port"),
        (&["run", "a:1", "b:2"], "b:2"),
        (&["jump"], "jump"),
    ] {
        expect_one_line(&loadgen(words), 64, said);
    }
}

#[test]
fn without_a_command_there_is_help_and_64() {
    let finished = loadgen(&[]);
    assert_eq!(finished.code, Some(64));
    assert!(finished.stderr.contains("Usage: loadgen"), "{finished:?}");
}

#[test]
fn help_and_version_are_answers_on_stdout() {
    let help = loadgen(&["run", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--pipeline") && help.stdout.contains("Example"));
    let version = loadgen(&["--version"]);
    let commit = version.stdout.strip_prefix(concat!("loadgen ", env!("CARGO_PKG_VERSION")));
    let commit = commit.expect("the version comes first").trim_end();
    assert!(commit.is_empty() || commit.starts_with(" (") && commit.ends_with(')'), "{commit}");
}
