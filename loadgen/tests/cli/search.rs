//! `loadgen search`, from its flags to the answer.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::process::echo_command;
use crate::program::*;
use crate::servers::Server;

/// A search of short runs.
fn search(address: &str, flags: &str) -> Finished {
    let short = "--duration 100ms --warmup 0s -c 2 --tolerance 20%";
    let words = ["search", address].into_iter().chain(short.split(' '));
    loadgen(&words.chain(flags.split_whitespace()).collect::<Vec<_>>())
}

/// The stages in their order. A busy machine may disturb a probe, which is then repeated.
fn stages(record: &Value) -> Vec<&str> {
    let probes = record["probes"].as_array().unwrap().iter();
    let mut stages: Vec<&str> = probes.map(|probe| probe["stage"].as_str().unwrap()).collect();
    stages.dedup();
    stages
}

#[test]
fn an_easy_objective_holds_up_to_the_highest_requested_rate() {
    let server = Server::echo();
    let flags = "--slo max<60s --from 200 --to 250 --confirm 2 --json -";
    let finished = search(&server.address(), flags);
    let record = finished.json();
    assert_eq!(record["schema"], "loadgen-search/1");
    for (probe, number) in record["probes"].as_array().unwrap().iter().zip(0..) {
        assert_eq!((&probe["number"], &probe["seed"]), (&number.into(), &(1 + number).into()));
    }
    // A busy machine may make each run INVALID; then that is the answer, and said so.
    if finished.code == Some(0) {
        assert_eq!(stages(&record), ["peak", "rise", "confirm"]);
        assert_eq!(record["answer"]["rate_per_s"], 250.0);
        assert_eq!(record["answer"]["limit"], "highest");
    } else {
        assert_eq!((finished.code, &record["answer"]["limit"]), (Some(3), &"loader".into()));
    }
}

#[test]
fn an_objective_that_no_rate_meets_exits_with_2_and_shows_what_was_tried() {
    let server = Server::echo();
    let finished = search(&server.address(), "--slo max<1ns --from 500 --no-progress");
    if finished.code != Some(3) {
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stdout.starts_with("MISSED: no rate tried keeps max<1ns"), "{finished:?}");
        assert!(finished.stdout.contains("500/s"), "{finished:?}");
    }
    assert!(finished.stderr.contains("peak of a closed loop"), "{finished:?}");
}

#[test]
fn everything_is_stored_and_each_probe_has_a_server_of_its_own() {
    let folder = test_needs::folder();
    let out = folder.path().join("found");
    let address = unused_address();
    let command = echo_command();
    let words = ["search", &address, "--duration=50ms", "--warmup=0s", "-c1", "--confirm=1"];
    let more = ["--slo", "max<60s", "--from=100", "--to=100", "--server-cmd", &command, "--out"];
    let finished = loadgen(&[&words[..], &more, &[out.to_str().unwrap()]].concat());
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    let text = fs::read_to_string(out.join("search.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(stages(&record)[..2], ["peak", "rise"]);
    assert!(record["probes"][1]["server_cpu_us_per_request"].is_number(), "{record}");
    assert!(out.join("plot-throughput-latency.svg").exists());
    assert_eq!(fs::read_to_string(out.join("search.txt")).unwrap(), finished.stdout);
    let table = fs::read_to_string(out.join("search.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + record["probes"].as_array().unwrap().len(), "{table}");
    expect_the_same_when_made_again(&out);
    let again = loadgen(&[&words[..], &more, &[out.to_str().unwrap()]].concat());
    expect_one_line(&again, 1, "already contains a result");
}

#[test]
fn an_interrupt_leaves_what_was_found() {
    let server = Server::echo();
    let address = server.address();
    let flags = ["--slo=max<60s", "--duration=60s", "--warmup=0s", "-c1", "--json", "-"];
    let child = command(&[&["search", &address], &flags[..]].concat()).spawn().unwrap();
    until(|| server.bytes_read() > 64);
    let begun = Instant::now();
    signal(&child, "INT");
    let finished = wait(child);
    assert!(begun.elapsed() < RUN_TIME_MAX);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stderr.contains("interrupted after 1 probe"), "{finished:?}");
    let record = finished.json();
    assert_eq!(record["answer"]["end"], "interrupted");
    assert_eq!(stages(&record), ["peak"]);
}

#[test]
fn a_search_out_of_time_says_so() {
    let server = Server::echo();
    let finished = search(&server.address(), "--slo max<60s --max-time 200ms --quiet --json -");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.json()["answer"]["end"], "time-up");
    let said = "loadgen: NOT KNOWN: out of time (--max-time) before any rate was good\n";
    assert_eq!(finished.stderr, said, "{finished:?}");
}

#[test]
fn a_search_without_objective_is_a_usage_error() {
    expect_one_line(&loadgen(&["search"]), 64, "--slo");
}
