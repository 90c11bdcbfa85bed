//! `loadgen ab`: pairs of runs of real servers, until it is decided which is faster.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::echo_command;
use crate::program::*;
use crate::servers::Server;

/// Short runs of servers that are slow: on a machine that is busy with other tests, fewer of them
/// are INVALID because the loader is late.
const SHORT: [&str; 6] =
    ["ab", "--duration=300ms", "--warmup=200ms", "-c32", "--rate=200", "--pairs=9"];

/// How often a measurement is made again that was given up because of INVALID runs.
const ATTEMPTS: usize = 4;

fn start(flags: &[&str]) -> Child {
    command(&SHORT.iter().chain(flags).copied().collect::<Vec<&str>>()).spawn().unwrap()
}

fn ab(flags: &[&str]) -> Finished {
    wait_within(start(flags), Duration::from_secs(60))
}

/// As [`ab`], made again if the machine was too busy.
fn valid(flags: &[&str]) -> Finished {
    let finished = (0..ATTEMPTS).map(|_| ab(flags)).find(|finished| finished.code != Some(3));
    finished.expect("end other programs: the runs are INVALID")
}

/// An echo server that answers each request after this time.
fn slow(delay_ms: u64) -> Server {
    let delay = Duration::from_millis(delay_ms);
    Server::start(move |mut client| {
        loop {
            let bytes = client.read_some(64 * 1024);
            if bytes.is_empty() {
                break;
            }
            thread::sleep(delay);
            client.write(&bytes);
        }
    })
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn pairs(record: &Value) -> &Vec<Value> {
    record["pairs"].as_array().unwrap()
}

#[test]
fn a_slower_server_is_found_to_be_slower_and_all_of_it_is_stored() {
    let (fast, slow) = (slow(40), slow(100));
    let folder = test_needs::folder();
    let (out, md, junit) =
        (folder.path().join("ab"), folder.path().join("ab.md"), folder.path().join("ab.xml"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let finished = valid(&[
        "--a-target",
        &fast.address(),
        "--b-target",
        &slow.address(),
        "--metric=p50",
        "--arrival=constant",
        "--out",
        &path(&out),
        "--force",
        "--md",
        &path(&md),
        "--junit",
        &path(&junit),
    ]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stdout.starts_with("SLOWER: B is slower than A in p50 (+"), "{finished:?}");
    assert!(finished.stderr.contains("at most 9 pairs of A and B, until it is decided"));
    assert!(finished.stderr.contains(" of at most 9, "), "{finished:?}");
    let record = json(&out.join("ab.json"));
    assert_eq!((&record["judgement"], &record["decided"]), (&"slower".into(), &true.into()));
    let counted = record["counted"].as_u64().unwrap();
    assert!((6..=9).contains(&counted), "{counted}");
    for (number, pair) in (1_u64..).zip(pairs(&record)) {
        assert_eq!((&pair["number"], &pair["seed"]), (&number.into(), &number.into()));
        let [a, b] = ["a", "b"]
            .map(|name| pair[name]["started_unix_s"].as_f64().unwrap_or_else(|| panic!("{pair}")));
        assert_eq!(pair["first"] == "a", a < b, "{pair}");
        if pair["left_out"] == false {
            let run = json(&out.join(format!("pairs/b/run-{number:02}.json")));
            assert_eq!(
                (&run["args"]["seed"], &run["interrupted"]),
                (&number.into(), &false.into())
            );
        }
    }
    assert_eq!(fs::read_to_string(out.join("ab.txt")).unwrap(), finished.stdout);
    assert_eq!(fs::read_to_string(&md).unwrap(), fs::read_to_string(out.join("ab.md")).unwrap());
    let junit = fs::read_to_string(&junit).unwrap();
    let document = roxmltree::Document::parse(&junit).unwrap();
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert!(failure.attribute("message").unwrap().starts_with("B is slower: +"), "{junit}");
    expect_the_same_when_made_again(&out);
    // The stored runs of both sides are sides of a comparison.
    let sides = ["a", "b"].map(|name| path(&out.join("pairs").join(name)));
    let compared = loadgen(&["compare", &sides[0], &sides[1]]);
    assert!(compared.stdout.contains("p50"), "{compared:?}");
}

#[test]
fn equal_servers_are_not_found_to_be_slower_and_the_number_of_pairs_is_the_most() {
    let (server, other) = (slow(40), slow(40));
    let (a, b) = (server.address(), other.address());
    let flags = ["--a-target", &a, "--b-target", &b, "--pairs=2", "--json=-", "-q"];
    let finished = valid(&flags);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let record = finished.json();
    assert_eq!((&record["judgement"], &record["counted"]), (&"undecided".into(), &2.into()));
    assert_eq!(record["unknown"], serde_json::json!(["p99", "server cpu"]));
}

#[test]
fn servers_are_started_and_stopped_for_each_run() {
    let address = unused_address();
    let command = echo_command();
    let finished = ab(&[&address, "--a", &command, "--b", &command, "--pairs=2", "--json=-", "-q"]);
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    let record = finished.json();
    assert!(pairs(&record).len() >= 2, "{record}");
    assert_eq!(record["plan"]["b"]["server_command"], *command);
    assert!(std::net::TcpStream::connect(&address).is_err(), "a server was left");
}

#[test]
fn an_interrupt_keeps_the_pairs_and_the_same_command_goes_on() {
    let (server, other) = (slow(40), slow(40));
    let folder = test_needs::folder();
    let out = folder.path().join("ab");
    let (a, b) = (server.address(), other.address());
    let flags = ["--a-target", &a, "--b-target", &b, "--metric=max"];
    let more = |pairs: &'static str| -> Vec<&str> {
        flags.iter().copied().chain(["--out", out.to_str().unwrap(), pairs]).collect()
    };
    let child = start(&more("--pairs=900"));
    let stored = || fs::read_to_string(out.join("ab.json")).unwrap_or_default();
    until(|| serde_json::from_str(&stored()).is_ok_and(|record| pairs(&record).len() > 1));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stdout.contains("NOT COMPLETE after "), "{finished:?}");
    let record = json(&out.join("ab.json"));
    assert_eq!(record["interrupted"], true);
    assert!(out.join("junit.xml").exists());
    let most = format!("--pairs={}", record["counted"].as_u64().unwrap() + 1);
    let words: Vec<&str> = more("-q").into_iter().chain([&*most]).collect();
    let finished = ab(&words);
    // It is INVALID if each further pair was left out.
    assert!(matches!(finished.code, Some(0 | 2 | 3)), "{finished:?}");
    let again = json(&out.join("ab.json"));
    let before = pairs(&record).len();
    assert_eq!((&again["interrupted"], &again["continued_after"]), (&false.into(), &before.into()));
    assert!(pairs(&again).len() > before);
    assert_eq!(pairs(&again)[..before], pairs(&record)[..]);
}

#[test]
fn an_interrupt_before_the_first_pair_leaves_no_file() {
    let (server, other) = (Server::echo(), Server::echo());
    let folder = test_needs::folder();
    let out = folder.path().join("ab");
    let (a, b, out) = (server.address(), other.address(), out.to_str().unwrap());
    let words = ["--a-target", &a, "--b-target", &b, "--duration=60s", "-q", "--out", out];
    let child = start(&words);
    until(|| server.bytes_read() + other.bytes_read() > 64 * 10);
    signal(&child, "INT");
    expect_one_line(&wait(child), 130, "interrupted before the measurement began");
    assert!(!Path::new(out).exists());
}

#[test]
fn a_server_that_cannot_start_ends_it_with_its_reason() {
    let address = unused_address();
    let finished = ab(&[&address, "--a", "/no/such/server", "--b", "/no/such/server", "-q"]);
    expect_one_line(&finished, 1, "start the server '/no/such/server'");
}

#[test]
fn failed_requests_are_an_exit_code_of_1_and_are_counted() {
    let server = Server::echo();
    // It answers with other bytes.
    let wrong = Server::start(|mut client| {
        loop {
            let bytes = client.read_some(64 * 1024);
            if bytes.is_empty() {
                break;
            }
            client.write(&bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
        }
    });
    let (a, b) = (server.address(), wrong.address());
    let more = ["--pairs=1", "--json=-", "-q"];
    let finished = ab(&[&["--a-target", &a, "--b-target", &b][..], &more].concat());
    let record = finished.json();
    // With errors alone, B has no valid run: then the pair is left out.
    assert!(matches!(finished.code, Some(1 | 3)), "{finished:?}");
    assert!(pairs(&record)[0]["b"]["failed_requests"].as_u64() > Some(0), "{record}");
    assert!(finished.stderr.starts_with("loadgen: "), "{finished:?}");
}

#[test]
fn a_against_itself_reports_false_alarms() {
    let server = Server::echo();
    let words =
        ["--null=4", "--pairs=2", "--a-target", &server.address(), "--json=-"].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let finished = ab(&words);
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    assert!(finished.stderr.contains("at most 4 pairs of A against itself"), "{finished:?}");
    let record = finished.json();
    if finished.code == Some(0) {
        let null = &record["null"];
        assert_eq!((&null["comparisons"], &null["separate_comparisons"]), (&3.into(), &2.into()));
        assert_eq!(null["false_alarms"], 0, "two pairs cannot decide: {null}");
    }
}

#[test]
fn wrong_flags_are_one_line_with_the_remedy() {
    for (words, said) in [
        (&["--a=x"][..], "B needs a server: --b CMD starts one"),
        (&["--a=x", "--b=y", "--pairs=0"], "--pairs must lie between 1 and 1000"),
        (&["--a=x", "--b=y", "--metric=p77"], "choose among rate, achieved, p50"),
        (&["--a=x", "--b=y", "--junit=/no/such/folder/x.xml"], "/no/such/folder/x.xml"),
    ] {
        let finished = ab(words);
        let code = if said.starts_with('/') { 1 } else { 64 };
        expect_one_line(&finished, code, said);
    }
}
