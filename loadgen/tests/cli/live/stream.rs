//! The JSON stream: the sum of its lines is the report, and no reader delays the load.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

/// Counters by name.
type Counts = BTreeMap<String, u64>;

fn counts(counters: &Value) -> Counts {
    let fields = counters.as_object().unwrap().iter();
    fields.map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

/// The intervals of a stream, and its last line.
#[track_caller]
fn lines(text: &str) -> (Vec<Value>, Value) {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut lines: Vec<Value> = text.lines().map(parse).collect();
    let last = lines.pop().unwrap();
    assert!(lines.iter().all(|line| line["type"] == "interval"), "{text}");
    assert_eq!(last["type"], "result", "{text}");
    (lines, last)
}

/// The histogram with this name of a line, empty if it has none.
fn histogram(line: &Value, name: &str) -> Histogram<u64> {
    let Some(text) = line["histograms"][name].as_str() else {
        return Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    };
    let bytes = BASE64.decode(text).unwrap();
    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
}

/// Asserts that the sum of the intervals is the record.
#[track_caller]
fn expect_same_sum(intervals: &[Value], record: &Value) {
    let mut sum = Counts::new();
    let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    for interval in intervals {
        assert_eq!(interval["lost"], 0);
        let of_interval = counts(&interval["counters"]);
        assert_eq!(of_interval["sent"], interval["sent"].as_u64().unwrap());
        let response = histogram(interval, "response");
        assert_eq!(of_interval["measured"], response.len(), "{interval}");
        all.add(response).unwrap();
        of_interval.into_iter().for_each(|(name, count)| *sum.entry(name).or_default() += count);
    }
    assert_eq!(sum, counts(&record["counters"]));
    let headline = &record["latency_ns"]["response"];
    let unanswered = headline["censored"].as_u64().unwrap();
    assert_eq!(all.len() + unanswered, headline["count"].as_u64().unwrap());
    let max = headline["max"].as_u64().unwrap();
    assert!(all.equivalent(all.max(), max) || unanswered > 0, "{} and {max}", all.max());
}

/// An echo server that closes each connection after 40 requests.
fn moody_server() -> Server {
    Server::start(|mut client| {
        for _ in 0..40 {
            if client.echo_some(64) == 0 {
                return;
            }
        }
    })
}

#[test]
fn the_sum_of_the_intervals_is_the_report_of_several_runs_with_errors_and_threads() {
    let folder = test_needs::folder();
    let path = folder.path().join("record.json");
    let server = moody_server();
    let address = server.address();
    let flags = "--rate 4000 -c 5 -t 3 --duration 400ms --warmup 100ms --interval 30ms --runs 2";
    let words = ["run", &address, "--json-stream=-", "--json", path.to_str().unwrap()];
    let words: Vec<&str> = words.into_iter().chain(flags.split(' ')).collect();
    let finished = loadgen(&words);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("requests/s"), "the report goes to stderr: {finished:?}");
    let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    expect_conserved(&record);
    let (intervals, last) = lines(&finished.stdout);
    expect_same_sum(&intervals, &record);
    assert!(count(&record, "closed_by_server") > 0, "{record}");
    for field in ["counters", "validity", "rate", "latency_ns", "interrupted"] {
        assert_eq!(last[field], record[field], "{field}");
    }
    assert_eq!(
        (&last["exit_code"], &last["runs"], &last["lost"]),
        (&1.into(), &2.into(), &0.into())
    );
    let times: Vec<f64> = intervals.iter().map(|line| line["unix_s"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let of_first = intervals.iter().filter(|line| line["run"] == 1).count();
    assert!(of_first > 10 && of_first < intervals.len(), "{of_first} of {}", intervals.len());
}

#[test]
fn a_line_comes_while_the_run_lasts_and_a_file_of_the_name_makes_way_when_the_load_begins() {
    let folder = test_needs::folder();
    let path = folder.path().join("stream");
    fs::write(&path, "earlier\n").unwrap();
    let stream = format!("--json-stream={}", path.display());
    let refused = loadgen(&["run", &unused_address(), &stream, "--timeout=100ms"]);
    assert_eq!((refused.code, &*fs::read_to_string(&path).unwrap()), (Some(1), "earlier\n"));
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, &stream, "--duration=1m", "--interval=20ms", "--quiet"];
    let child = command(&words).spawn().unwrap();
    until(|| fs::read_to_string(&path).unwrap().lines().count() > 3);
    assert!(!has_ended(&child));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let (_, last) = lines(&fs::read_to_string(&path).unwrap());
    assert_eq!((&last["interrupted"], &last["exit_code"]), (&true.into(), &130.into()));
}

/// Flags of a load of 200 intervals, more than the queue and a pipe hold.
const LONG: &str = "--rate 3000 -c 4 --duration 2s --warmup 0s --interval 10ms --seed 7 --json";

#[test]
fn a_reader_that_stalls_delays_nothing_and_what_it_lost_is_said_everywhere() {
    let server = Server::echo();
    let (address, folder) = (server.address(), test_needs::folder());
    let run = |stream: &[&str], name: &str| {
        let path = folder.path().join(name);
        let words = ["run", &*address].into_iter().chain(stream.iter().copied());
        let words = words.chain(LONG.split(' ')).chain([path.to_str().unwrap()]);
        let mut child = command(&words.collect::<Vec<_>>()).spawn().unwrap();
        let mut stalled = child.stdout.take().unwrap();
        let finished = wait(child);
        let mut received = String::new();
        stalled.read_to_string(&mut received).unwrap();
        let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        (finished, record, received)
    };
    let (_, alone, _) = run(&[], "alone");
    let (finished, record, received) = run(&["--json-stream=-"], "stalled");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    expect_conserved(&record);
    for name in ["scheduled", "in_window", "unsent", "censored"] {
        assert_eq!(count(&record, name), count(&alone, name), "{name}");
    }
    let lateness = |record: &Value| record["latency_ns"]["lateness"]["count"].clone();
    assert_eq!(lateness(&record), lateness(&alone), "every send has its lateness");
    let whole = received.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    let (lost, all) = losses(&finished.stderr);
    assert_eq!(all as usize, record["runs"][0]["intervals"].as_array().unwrap().len() + 1);
    assert_eq!(lost as usize, all as usize - whole, "{}", finished.stderr);
    assert!(lost > 0);
    let labels = record["validity"]["labels"].to_string();
    assert!(labels.contains("stream-lost"), "{labels}");
    assert!(finished.stderr.contains("note stream-lost"), "{}", finished.stderr);
}

/// The numbers of "3 of 12 lines were lost" in the last line.
#[track_caller]
fn losses(stderr: &str) -> (u64, u64) {
    let last = stderr.lines().last().unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    let at = words.iter().position(|word| *word == "lines").unwrap_or_else(|| panic!("{last}"));
    assert!(last.contains("lines were lost: the reader was too slow; read faster"), "{last}");
    (words[at - 3].parse().unwrap(), words[at - 1].parse().unwrap())
}

#[test]
fn a_reader_that_goes_away_and_a_full_disk_are_named_and_the_run_is_complete() {
    let server = Server::echo();
    let address = server.address();
    let flags = ["--duration=300ms", "--warmup=0s", "--interval=10ms", "--quiet"];
    let words = ["run", &address, "--json-stream=-"].into_iter().chain(flags);
    let mut child = command(&words.collect::<Vec<_>>()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["type"], "interval");
    drop(reader);
    let finished = wait(child);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("standard output: "), "{finished:?}");
    assert!(finished.stderr.contains("the reader closed it; keep the reader"), "{finished:?}");
    let words = ["run", &address, "--json-stream=/dev/full", "--json=-"].into_iter().chain(flags);
    let finished = loadgen(&words.collect::<Vec<_>>());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("/dev/full: "), "{finished:?}");
    assert!(finished.stderr.contains("No space left"), "{finished:?}");
    expect_conserved(&finished.json());
}

#[test]
fn an_interrupted_run_that_lost_lines_ends_as_interrupted() {
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, "--json-stream=/dev/full", "--duration=1m", "--interval=20ms"];
    let child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() > 1_000_000);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stderr.contains("/dev/full: "), "{finished:?}");
}

#[test]
fn record_and_stream_cannot_both_go_to_one_place() {
    let refused = loadgen(&["run", "--json=-", "--json-stream=-"]);
    expect_one_line(&refused, 64, "--json, --json-stream: only one of them");
    let refused = loadgen(&["run", "--json=x", "--json-stream=x"]);
    expect_one_line(&refused, 64, "--json, --json-stream: name two files");
}
