//! Load by a schedule, on real sockets and real time.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

fn ns(record: &Value, latency: &str, field: &str) -> u64 {
    let value = &record["latency_ns"][latency][field];
    value.as_u64().unwrap_or_else(|| panic!("{latency}.{field}: {record}"))
}

#[test]
fn a_rate_is_offered_exactly_whatever_the_replies_take() {
    // Each connection's replies take 20 ms, so that a closed loop could do 50/s on each.
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_some(64 * 1024);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
            client.write(&bytes);
        }
    });
    let flags = "--rate 1000 --arrival constant -c 4 --warmup 200ms --duration 500ms";
    let finished = load(&server, flags);
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "scheduled"), count(&record, "in_window")), (700, 500));
    assert_eq!((count(&record, "unsent"), count(&record, "measured")), (0, 500));
    assert!(ns(&record, "response", "min") >= ns(&record, "service", "min"));
    assert!(ns(&record, "service", "min") >= 20_000_000 / 2, "a reply is shared by a few requests");
    assert_eq!(ns(&record, "lateness", "count"), 500);
}

#[test]
fn the_same_seed_schedules_the_same_number_of_requests_and_sizes() {
    let server = Server::echo();
    let flags = "--rate 2000 -c 8 --size 10..1000 --seed 7";
    let (one, other) = (load(&server, flags).json(), load(&server, flags).json());
    for name in ["scheduled", "in_window", "bytes_sent", "completed"] {
        assert_eq!(count(&one, name), count(&other, name), "{name}");
    }
}

#[test]
fn each_of_several_runs_has_a_schedule_of_its_own_and_says_which() {
    let server = Server::echo();
    let flags = |more: &str| format!("--rate 2000 -c 8 --size 10..1000 {more}");
    let several = load(&server, &flags("--runs 3 --seed 7")).json();
    let bytes = |run: &Value| run["counters"]["bytes_sent"].as_u64().unwrap();
    let runs = several["runs"].as_array().unwrap();
    for (run, seed) in runs.iter().zip(7..) {
        assert_eq!(run["seeds"], Value::from(vec![seed]));
        let alone = load(&server, &flags(&format!("--seed {seed}"))).json();
        assert_eq!(bytes(run), bytes(&alone["runs"][0]), "seed {seed}");
    }
    assert!(bytes(&runs[0]) != bytes(&runs[1]) && bytes(&runs[1]) != bytes(&runs[2]));
}

#[test]
fn with_one_request_outstanding_a_slow_server_blocks_and_the_loader_is_not_blamed() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_some(64);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            client.write(&bytes);
        }
    });
    let flags = "--rate 200 --arrival constant -c 1 --pipeline 1 --drain 2s";
    let record = load(&server, flags).json();
    expect_conserved(&record);
    // 200/s are offered, 100/s are possible: the last of 250 ms waits for about as long.
    assert!(ns(&record, "response", "max") > 150_000_000, "{record}");
    assert!(ns(&record, "blocked", "max") > 140_000_000, "{record}");
    assert!(ns(&record, "service", "max") < 150_000_000, "{record}");
    let blocked = ns(&record, "blocked", "max");
    assert!(ns(&record, "loader_late", "max") < blocked / 2, "{record}");
}

#[test]
fn every_way_of_waiting_sends_everything() {
    let server = Server::echo();
    for pacing in ["sleep", "hybrid", "spin", "auto"] {
        let flags = format!("--rate 1000 --arrival constant -c 4 --pacing {pacing}");
        let finished = load(&server, &flags);
        let record = finished.json();
        assert_eq!((count(&record, "scheduled"), count(&record, "unsent")), (250, 0), "{pacing}");
    }
}

#[test]
fn ramps_and_steps_offer_their_mean_rate() {
    let server = Server::echo();
    for (rate, in_window) in [("1000..3000", 400), ("1000,3000", 400), ("1000,3000@50ms", 500)] {
        let flags = format!("--rate {rate} --arrival constant -c 4 --warmup 0s");
        let record = load(&server, &flags).json();
        assert!(count(&record, "in_window").abs_diff(in_window) <= 4, "{rate}: {record}");
    }
}

#[test]
fn an_interrupt_in_the_middle_of_a_schedule_counts_what_was_due_until_then() {
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, "--rate=1000", "--arrival=constant", "--warmup=0s"];
    let more = ["--duration=60s", "-c2", "--json", "-"];
    let child = command(&[&words[..], &more].concat()).spawn().unwrap();
    until(|| server.bytes_read() >= 64 * 300);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!((300..3_000).contains(&count(&record, "scheduled")), "{record}");
    assert_eq!(record["interrupted"], true);
}

#[test]
fn a_missed_objective_has_an_exit_code_of_its_own_and_a_met_one_has_not() {
    let server = Server::echo();
    let missed = load(&server, "--rate 500 -c 2 --slo max<1ns --slo err<1%");
    // Whether the measurement can be believed (3 if not) is asked first.
    assert!(matches!(missed.code, Some(2 | 3)), "{missed:?}");
    let record = missed.json();
    assert_eq!((&record["slo"][0]["met"], &record["slo"][1]["met"]), (&false.into(), &true.into()));
    assert!(missed.stderr.contains("MISSED"), "{missed:?}");
    let met = load(&server, "--rate 500 -c 2 --slo max<60s");
    expect_no_errors(&met);
    assert_eq!(met.json()["slo"][0]["met"], true);
}

#[test]
fn a_window_of_a_millisecond_sends_what_was_scheduled_and_waits_for_nothing() {
    let server = Server::echo();
    let address = server.address();
    let flags = "--rate 1000 --arrival constant -c 1 --duration 1ms --warmup 0s --drain 15s";
    let words = ["run", &address, "--json", "-"].into_iter().chain(flags.split(' '));
    let words: Vec<&str> = words.collect();
    for _ in 0..5 {
        let begun = Instant::now();
        let record = loadgen(&words).json();
        assert_eq!((count(&record, "scheduled"), count(&record, "completed")), (1, 1), "{record}");
        assert!(begun.elapsed() < Duration::from_secs(10), "it waited for the drain");
    }
}

#[test]
fn a_rate_that_no_server_can_take_ends_with_its_drain_or_with_an_interrupt() {
    let server = Server::start(|mut client| client.swallow());
    let address = server.address();
    for arrival in ["poisson", "constant"] {
        for interrupted in [false, true] {
            let duration = if interrupted { "60s" } else { "1s" };
            let words = ["run", &address, "--rate=1000M", "--arrival", arrival, "--warmup=0s"];
            let more = ["--duration", duration, "--drain=100ms", "-c4", "--json", "-"];
            let before = server.bytes_read();
            let child = command(&[&words[..], &more].concat()).spawn().unwrap();
            until(|| server.bytes_read() > before || has_ended(&child));
            if interrupted {
                signal(&child, "INT");
            }
            let begun = Instant::now();
            let record = wait(child).json();
            expect_conserved(&record);
            assert!(begun.elapsed() < Duration::from_secs(10), "{arrival}: {:?}", begun.elapsed());
            if !interrupted {
                assert!(count(&record, "scheduled").abs_diff(1_000_000_000) < 100, "{record}");
                let estimated = count(&record, "unsent_estimated");
                assert_eq!(estimated > 0, arrival == "poisson", "{record}");
            }
        }
    }
}
