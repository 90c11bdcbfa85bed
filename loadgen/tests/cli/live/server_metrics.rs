//! The server's own metrics in the record and the report, whatever answers at their address.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::program::*;
use crate::servers::Server;

/// An endpoint whose counter grows by 10 with each read; `timings` makes more lines from the number
/// of the read.
fn endpoint(timings: impl Fn(u64) -> String + Send + Sync + 'static) -> Server {
    let reads = Arc::new(AtomicU64::new(0));
    Server::start(move |client| {
        let mut stream = client.into_stream();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 0 {
                return;
            }
            request.extend(byte);
        }
        assert!(request.starts_with(b"GET /metrics HTTP/1.0\r\n"));
        let read = reads.fetch_add(1, Ordering::SeqCst);
        let text = format!("# TYPE calls_total counter\ncalls_total {}\n", read * 10);
        let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{text}{}", timings(read));
    })
}

const FLAGS: &str = "-c 2 --rate 2000 --duration 600ms --warmup 0s --interval 100ms";

#[test]
fn counters_of_any_endpoint_are_in_the_record_of_each_run_and_in_the_report() {
    let (server, metrics) = (Server::echo(), endpoint(|_| String::new()));
    let flags = format!("{FLAGS} --runs 2 --server-admin {}", metrics.address());
    let finished = load(&server, &flags);
    expect_no_errors(&finished);
    let record = finished.json();
    let all = &record["server_metrics"];
    assert_eq!(all["reads"].as_u64().unwrap(), metrics.accepted(), "{all}");
    assert_eq!((&all["failed_reads"], &all["restarted"]), (&0.into(), &false.into()));
    let grown: f64 = (0..2)
        .map(|run| {
            let of_run = &record["runs"][run]["server_metrics"];
            let intervals = of_run["intervals"].as_array().unwrap().len() as f64;
            assert!(intervals >= 4.0, "{of_run}");
            assert_eq!(of_run["counters"]["calls_total"], 10.0 * intervals);
            10.0 * intervals
        })
        .sum();
    assert_eq!(all["counters"]["calls_total"], grown);
    let said = format!("1 counter grew: calls_total +{grown}");
    assert!(finished.stderr.contains(&said), "{said}: {}", finished.stderr);
}

#[test]
fn the_time_of_evshard_that_is_as_long_as_the_tail_is_named() {
    // Callbacks of up to half a second, as many as the tail needs.
    let timings = |read: u64| {
        let (quick, all) = (900 * read, 1_000 * read);
        format!(
            "evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"0.00001\"}} {quick}\n\
             evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"0.5\"}} {all}\n\
             evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"+Inf\"}} {all}\n\
             evshard_shard_loop_lag_seconds_bucket{{shard=\"0\",le=\"0.000001\"}} {all}\n\
             evshard_shard_loop_lag_seconds_bucket{{shard=\"0\",le=\"+Inf\"}} {all}\n"
        )
    };
    let (server, metrics) = (Server::echo(), endpoint(timings));
    let folder = test_needs::folder();
    let (address, out) = (server.address(), folder.path().join("out"));
    let admin = metrics.address();
    let words = ["run", &address, "--server-admin", &admin, "--out", out.to_str().unwrap()];
    let finished = loadgen(&words.into_iter().chain(FLAGS.split(' ')).collect::<Vec<_>>());
    expect_no_errors(&finished);
    let report = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "server: callback ",
        "<= 10.0 µs <= 500 ms <= 500 ms",
        "loader: late by itself ",
        "'server: callback' has the largest p99, at most 500 ms: look there first",
    ] {
        assert!(report.contains(said), "{said}: {report}");
    }
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("The server's own metrics") && page.contains("look there first"));
    expect_the_same_when_made_again(&out);
}

#[test]
fn a_server_whose_metrics_do_not_answer_is_named_once_and_the_run_is_complete() {
    let held = Mutex::new(Vec::new());
    let hangs = Server::start(move |client| held.lock().unwrap().push(client.into_stream()));
    let closes = Server::start(drop);
    let lies = Server::echo();
    let unused = unused_address();
    for (admin, said) in [
        (hangs.address(), "no complete response within 2s"),
        (closes.address(), "http"),
        (lies.address(), "the response is not HTTP"),
        (unused, "Connection refused"),
    ] {
        let server = Server::echo();
        let finished = load(&server, &format!("{FLAGS} --server-admin {admin} --runs 2 --quiet"));
        expect_no_errors(&finished);
        let named: Vec<&str> =
            finished.stderr.lines().filter(|line| line.contains("read the server's")).collect();
        assert_eq!(named.len(), 1, "{finished:?}");
        assert!(named[0].contains(&admin) && named[0].contains(said), "{}", named[0]);
        let record = finished.json();
        expect_conserved(&record);
        assert_eq!((count(&record, "unsent"), &record["server_metrics"]["reads"]), (0, &0.into()));
        assert!(record["server_metrics"]["first_failure"].is_string());
    }
}

#[test]
fn an_address_of_metrics_that_cannot_be_one_is_a_usage_error() {
    for wrong in ["host", "https://h:1/metrics", "unix:"] {
        expect_one_line(&loadgen(&["run", "--server-admin", wrong]), 64, "--server-admin");
    }
}
