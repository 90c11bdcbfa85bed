//! Good days: servers that echo, however they do it.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

#[test]
fn an_echo_server_passes_and_every_request_is_accounted_for() {
    let server = Server::echo();
    let begun = Instant::now();
    let finished = load(&server, "-c 7 -t 3 --size 100 --pipeline 4 --seed 9 --timeout 10s");
    assert!(begun.elapsed() < Duration::from_secs(5), "the drain ends with the last reply");
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "connects"), 7);
    assert_eq!(count(&record, "failed") + count(&record, "censored"), 0);
    assert!(count(&record, "measured") > 0);
    assert!(count(&record, "completed") > count(&record, "measured"), "warm-up is not measured");
    assert_eq!(count(&record, "bytes_sent"), count(&record, "sent") * 100);
    assert_eq!(count(&record, "bytes_received"), count(&record, "bytes_sent"));
    assert_eq!(server.bytes_read(), count(&record, "bytes_sent"));
    assert_eq!(server.accepted(), 7);
    let threads = record["runs"][0]["threads"].as_array().unwrap();
    let spread: Vec<_> = threads.iter().map(|thread| &thread["connections"]).collect();
    assert_eq!(spread, [3, 2, 2]);
    let completed = threads.iter().map(|thread| thread["completed"].as_u64().unwrap());
    assert_eq!(completed.sum::<u64>(), count(&record, "completed"));
}

#[test]
fn the_record_has_the_promised_keys() {
    let record = load(&Server::echo(), "-c 2 --rate 100").json();
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(
        keys(&record),
        "args counters env interrupted key_value latency_ns rate runs schema server server_metrics \
         slo statuses tls validity"
    );
    assert!(record["validity"]["verdict"].is_string(), "{record}");
    for rate in ["offered_per_s", "achieved_per_s"] {
        assert!(record["rate"][rate].as_f64().unwrap() > 0.0, "{record}");
    }
    for latency in ["response", "service", "lateness", "connect", "handshake"] {
        let keys = keys(&record["latency_ns"][latency]);
        for key in ["p50", "p90", "p99", "p999", "p9999", "max", "mean", "count"] {
            assert!(keys.split(' ').any(|name| name == key), "{key} of {latency}: {keys}");
        }
    }
    assert_eq!(record["schema"], "loadgen/3");
    assert_eq!(record["args"]["mode"], "open");
    assert_eq!(record["latency_ns"]["connect"]["p50"], Value::Null, "2 samples are too few");
}

#[test]
fn the_rate_and_the_latencies_agree_with_a_server_of_known_speed() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_some(1024);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
            client.write(&bytes);
        }
    });
    let record = load(&server, "-c 4 --warmup 400ms --duration 400ms").json();
    let least = record["latency_ns"]["service"]["min"].as_u64().unwrap();
    assert!(least >= 5_000_000, "no reply can be faster than the server: {least} ns");
    // In a closed loop, requests outstanding = rate x service time (Little's law).
    let rate = record["rate"]["achieved_per_s"].as_f64().unwrap();
    let mean = record["latency_ns"]["service"]["mean"].as_f64().unwrap() / 1e9;
    let outstanding = rate * mean;
    assert!((3.0..6.0).contains(&outstanding), "{rate}/s x {mean} s");
}

#[test]
fn replies_that_dribble_in_byte_by_byte_are_put_together() {
    let server = Server::start(|mut client| while client.echo_some(1) > 0 {});
    let finished = load(&server, "-c 2 --size 37 --pipeline 3");
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "bytes_received"), count(&record, "completed") * 37);
}

#[test]
fn large_pipelined_requests_do_not_deadlock_with_a_server_that_reads_only_when_it_has_written() {
    let finished = load(&Server::echo(), "-c 2 --pipeline 16 --size 1MiB --timeout 15s");
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "completed") >= 32, "{record}");
}

#[test]
fn a_request_larger_than_any_socket_buffer_goes_out_without_a_reply_in_between() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_exactly(16 << 20);
            if bytes.is_empty() {
                return;
            }
            client.write(&bytes);
        }
    });
    let finished = load(&server, "-c 2 --size 16MiB --timeout 15s");
    expect_no_errors(&finished);
    expect_conserved(&finished.json());
}

#[test]
fn waiting_for_a_reply_costs_no_processor_time_even_after_a_full_socket() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_exactly(1 << 20);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(200));
            client.write(&bytes);
        }
    });
    let record = load(&server, "-c 1 --size 1MiB --duration 600ms").json();
    let share = record["runs"][0]["threads"][0]["cpu_share"].as_f64().unwrap();
    assert!(share < 0.3, "{share} of a processor for five requests a second");
}

#[test]
fn host_names_and_ipv6_addresses_are_targets_too() {
    let server = Server::echo();
    let name = format!("localhost:{}", server.port());
    let finished = loadgen(&["run", &name, "-c1", "--duration=50ms", "--warmup=0s"]);
    expect_no_errors(&finished);
    if TcpListener::bind("[::1]:0").is_ok() {
        let server = Server::start_on("[::1]:0", |mut client| while client.echo_some(99) > 0 {});
        let finished = load(&server, "-c 1");
        expect_no_errors(&finished);
    }
}

#[test]
fn the_report_is_on_stdout_and_says_what_kind_of_latency_it_shows() {
    let address = Server::echo().address();
    let finished = loadgen(&["run", &address, "-c2", "--duration=100ms", "--warmup=0s"]);
    expect_no_errors(&finished);
    assert!(finished.stdout.contains("closed loop, service time"), "{finished:?}");
    assert!(finished.stdout.contains("errors: none"), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
}

#[test]
fn json_on_stdout_moves_the_report_to_stderr_and_quiet_leaves_only_a_verdict_that_is_not_valid() {
    let server = Server::echo();
    let finished = load(&server, "-c 1");
    finished.json();
    assert!(finished.stderr.contains("closed loop, service time"), "{finished:?}");
    let quiet = load(&server, "-c 1 --quiet");
    let validity = &quiet.json()["validity"];
    match validity["verdict"].as_str().unwrap() {
        "VALID" => assert!(quiet.stderr.is_empty(), "{quiet:?}"),
        verdict => {
            let reason = validity["reasons"][0]["code"].as_str().unwrap();
            let line = format!("loadgen: {verdict}: {reason}: ");
            assert!(quiet.stderr.starts_with(&line), "{quiet:?}");
            assert_eq!(quiet.stderr.lines().count(), 1, "{quiet:?}");
        }
    }
}

#[test]
fn an_invalid_run_says_so_in_one_line_even_if_it_is_quiet() {
    let server = Server::start(|mut client| client.swallow());
    let flags = "-c 1 --quiet --timeout 60s --drain 1ms --warmup 0s";
    let finished = load(&server, flags);
    assert_eq!(finished.json()["validity"]["verdict"], "INVALID", "{finished:?}");
    assert!(finished.stderr.starts_with("loadgen: INVALID: nothing-measured: "), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
}

#[test]
fn a_result_directory_is_not_replaced_without_force_and_nothing_is_measured() {
    let folder = test_needs::folder();
    let (server, path) = (Server::echo(), folder.path().join("out"));
    let out = path.to_str().unwrap();
    let flags = format!("-c 1 --quiet --out {out}");
    expect_no_errors(&load(&server, &flags));
    let before = std::fs::read_to_string(path.join("result.json")).unwrap();
    let accepted = server.accepted();
    let refused = load(&server, &flags);
    expect_one_line(&refused, 1, "already contains a result");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(server.accepted(), accepted);
    assert_eq!(std::fs::read_to_string(path.join("result.json")).unwrap(), before);
    expect_no_errors(&load(&server, &format!("{flags} --force")));
    assert_ne!(std::fs::read_to_string(path.join("result.json")).unwrap(), before);
}

#[test]
fn a_json_file_is_replaced_only_by_a_finished_run() {
    let directory = test_needs::folder();
    let file = directory.path().join("result.json");
    let old = "x".repeat(100_000);
    std::fs::write(&file, &old).unwrap();
    let path = file.to_str().unwrap();
    let short = ["--duration=50ms", "--warmup=0s", "-c1", "--json", path];

    let refused = loadgen(&[&["run", &unused_address()], &short[..]].concat());
    assert_eq!(refused.code, Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), old);

    let finished = loadgen(&[&["run", &Server::echo().address()], &short[..]].concat());
    expect_no_errors(&finished);
    let record: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(record["schema"], "loadgen/3");
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let address = Server::echo().address();
    let words = ["run", &address, "-c1", "--duration=100ms", "--warmup=0s"];
    let mut child = command(&words).spawn().unwrap();
    drop(child.stdout.take());
    let finished = wait(child);
    expect_no_errors(&finished);
    assert!(finished.stderr.is_empty(), "{finished:?}");
}
