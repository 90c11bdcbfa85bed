//! Interrupted runs: partial results, and an immediate end at the second signal.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_needs::Need;

use crate::program::*;
use crate::servers::Server;

#[test]
fn an_interrupt_ends_the_run_with_partial_results() {
    for name in ["INT", "TERM", "QUIT", "HUP"] {
        let server = Server::echo();
        let address = server.address();
        let words = ["run", &address, "-c4", "-t2", "--warmup=0s", "--duration=60s", "--json", "-"];
        let child = command(&words).spawn().unwrap();
        until(|| server.bytes_read() > 64 * 100);
        signal(&child, name);
        let finished = wait(child);
        assert_eq!(finished.code, Some(130), "{name}: {finished:?}");
        let record = finished.json();
        expect_conserved(&record);
        assert_eq!(record["interrupted"], true);
        assert!(count(&record, "measured") > 0);
        assert!(finished.stderr.contains("INTERRUPTED"), "{finished:?}");
    }
}

/// Starts a run against `server` that inherits these signals as ignored, and waits until it loads.
fn started_ignoring(signals: &str, server: &Server, duration: &str) -> Child {
    let run = format!(
        "trap '' {signals}; exec '{}' run {} -c1 --warmup=0s --duration={duration} --json -",
        env!("CARGO_BIN_EXE_loadgen"),
        server.address()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &run]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = shell.spawn().unwrap();
    until(|| server.bytes_read() > 64 * 10);
    child
}

#[test]
fn a_run_that_a_script_started_in_the_background_can_be_interrupted() {
    let server = Server::echo();
    let child = started_ignoring("INT QUIT", &server, "60s");
    signal(&child, "INT");
    assert_eq!(wait(child).code, Some(130));
}

#[test]
fn a_run_that_was_started_with_nohup_survives_the_end_of_its_terminal() {
    let server = Server::echo();
    let child = started_ignoring("HUP", &server, "300ms");
    signal(&child, "HUP");
    assert_eq!(wait(child).json()["interrupted"], false);
}

#[test]
fn an_interrupted_drain_is_short_and_leaves_the_unanswered_censored() {
    let server = Server::start(|mut client| client.swallow());
    let address = server.address();
    let words = ["run", &address, "-c2", "--duration=60s", "--timeout=60s", "--json", "-"];
    let child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() == 128);
    signal(&child, "INT");
    let begun = Instant::now();
    let finished = wait(child);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert_eq!(count(&finished.json(), "censored"), 2);
}

#[test]
fn an_interrupt_while_connecting_sends_nothing_reports_and_leaves_earlier_files() {
    if test_needs::missing(Need::Descriptors(1_000)) {
        return;
    }
    // Nothing accepts: connects beyond the queue of 128 get no answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let out = test_needs::folder();
    let earlier = out.path().join("result.json");
    std::fs::write(&earlier, "earlier").unwrap();
    let directory = out.path().to_str().unwrap();
    let flags = ["-c900", "--timeout=60s", "--json", "-", "--out", directory, "--force"];
    let words: Vec<&str> = ["run", &address].into_iter().chain(flags).collect();
    let child = command(&words).spawn().unwrap();
    until(|| has_handler(&child, 2));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    assert_eq!(count(&record, "sent"), 0);
    assert!(count(&record, "connects") < 900);
    assert_eq!(std::fs::read_to_string(&earlier).unwrap(), "earlier");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
}

/// Whether the process catches the signal `number` yet.
fn has_handler(child: &Child, number: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (number - 1)) != 0
}

#[test]
fn a_second_interrupt_ends_the_program_at_once() {
    let server = Server::start(|mut client| client.swallow());
    let address = server.address();
    let words = ["run", &address, "-c1", "--duration=60s", "--timeout=60s", "--json", "-"];
    let mut child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() == 64);
    // Two signals at the same moment may count as one; a later one never does.
    while child.try_wait().unwrap().is_none() {
        signal(&child, "INT");
    }
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stdout.is_empty(), "no results were written: {finished:?}");
}
