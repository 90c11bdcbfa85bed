//! Replies with a status, error lines, and targets that are URLs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

/// A server that answers the `n`th `GET` of all its connections, from 0, with `reply(n)`.
fn http(reply: impl Fn(u64) -> String + Send + Sync + 'static) -> Server {
    answering(b"\r\n\r\n", reply)
}

/// A server that answers the `n`th request, which ends with `end`, with `reply(n)`.
fn answering(end: &'static [u8], reply: impl Fn(u64) -> String + Send + Sync + 'static) -> Server {
    let seen = AtomicU64::new(0);
    Server::start(move |mut client| {
        let mut pending = Vec::new();
        loop {
            let bytes = client.read_some(4096);
            if bytes.is_empty() {
                return;
            }
            pending.extend(bytes);
            while let Some(at) = pending.windows(end.len()).position(|window| window == end) {
                pending.drain(..at + end.len());
                client.write(reply(seen.fetch_add(1, Ordering::SeqCst)).as_bytes());
            }
        }
    })
}

fn with_status(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A short run against the URL of this server.
#[track_caller]
fn load_url(server: &Server, scheme: &str, path: &str, flags: &str) -> Finished {
    let target = format!("{scheme}://{}{path}", server.address());
    let short = "--duration 200ms --warmup 50ms --json -";
    let words = ["run", &target].into_iter().chain(short.split(' '));
    loadgen(&words.chain(flags.split_whitespace()).collect::<Vec<_>>())
}

fn codes(record: &Value) -> Vec<&String> {
    record["statuses"]["codes"].as_object().unwrap().keys().collect()
}

#[test]
fn a_page_that_is_missing_fails_every_request_and_costs_no_connection() {
    let server = http(|_| with_status("404 Not Found", "no such page"));
    for verify in ["full", "none"] {
        let accepted = server.accepted();
        let finished = load_url(&server, "http", "/x", &format!("-c 3 --verify {verify}"));
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let record = finished.json();
        expect_conserved(&record);
        assert!(count(&record, "unexpected_status") > 0);
        assert_eq!(count(&record, "unexpected_status"), count(&record, "sent"));
        assert_eq!((count(&record, "connects"), count(&record, "mismatches")), (3, 0));
        assert_eq!(server.accepted() - accepted, 3);
        assert_eq!(codes(&record), ["404"]);
        assert!(record["statuses"]["latency_ns"]["4xx"]["p50"].is_u64());
        let service = &record["latency_ns"]["service"];
        assert_eq!(service["count"], service["censored"], "no right reply, only lower bounds");
        let said = "the server said 'HTTP/1.1 404 Not Found', 'no such page'";
        let report = finished.stderr.replace("\n    ", " ");
        assert!(report.contains(said), "{finished:?}");
    }
}

#[test]
fn a_status_that_is_expected_is_no_error() {
    let server = http(|_| with_status("404 Not Found", "no such page"));
    let finished = load_url(&server, "http", "/x", "-c 3 --expect-status 2xx,404");
    expect_no_errors(&finished);
    let record = finished.json();
    assert!(count(&record, "measured") > 0);
    assert_eq!(record["args"]["expect_status"], "2xx,404");
    assert_eq!(record["latency_ns"]["service"]["count"], count(&record, "measured"));
}

#[test]
fn a_few_errors_of_the_server_are_counted_apart_from_its_answers() {
    let busy = |n: u64| n % 50 == 49;
    let server = http(move |n| match busy(n) {
        true => with_status("503 Busy", "later"),
        false => with_status("200 OK", "page"),
    });
    let finished = load_url(&server, "http", "", "-c 2 --slo err<5%");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    let (failed, sent) = (count(&record, "unexpected_status"), count(&record, "sent"));
    assert!(failed > 0 && failed.abs_diff(sent / 50) <= 1, "{failed} of {sent}");
    assert_eq!(
        (codes(&record), count(&record, "connects")),
        (vec![&"200".into(), &"503".into()], 2)
    );
    assert_eq!(record["slo"][0]["met"], true, "{}", record["slo"]);
    let reasons = record["validity"]["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["code"] == "errors"), "{reasons:?}");
}

#[test]
fn a_page_that_changes_is_reported_with_the_flag_that_helps() {
    let server = http(|n| with_status("200 OK", &format!("page {}", n % 10)));
    let finished = load_url(&server, "http", "", "-c 2");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "changed_bodies") > 0);
    assert_eq!((count(&record, "connects"), count(&record, "mismatches")), (2, 0));
    let report = finished.stderr.replace("\n    ", " ");
    assert!(report.contains("first changed body: "), "{finished:?}");
    assert!(report.contains("if it may differ, use --verify length"), "{finished:?}");
    expect_no_errors(&load_url(&server, "http", "", "-c 2 --verify length"));
}

#[test]
fn an_error_line_of_a_server_is_a_failed_request_with_its_words() {
    let redis = answering(b"PING\r\n", |n| {
        if n < 10 { "-LOADING in memory\r\n" } else { "+PONG\r\n" }.to_owned()
    });
    let finished = load_url(&redis, "redis", "", "-c 2");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "unexpected_status"), count(&record, "connects")), (10, 2));
    assert!(count(&record, "measured") > 0);
    assert!(finished.stderr.contains("the server said '-LOADING in memory'"), "{finished:?}");
}

#[test]
fn a_url_is_requested_as_it_is_written_and_recorded_as_an_address() {
    let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let server = Server::start(move |mut client| {
        seen.lock().unwrap().push(String::from_utf8(client.read_some(4096)).unwrap());
        client.write(with_status("200 OK", "").as_bytes());
        client.swallow();
    });
    let finished = load_url(&server, "http", "/a%20b?c=%26#d", "-c 1 --timeout 100ms");
    let record = finished.json();
    assert_eq!(record["args"]["target"], server.address());
    assert_eq!(record["args"]["http_path"], "/a%20b?c=%26");
    assert_eq!(
        (&record["args"]["protocol"], &record["args"]["size"]),
        (&"http".into(), &"none".into())
    );
    let first = requests.lock().unwrap()[0].clone();
    let expected = format!("GET /a%20b?c=%26 HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    assert_eq!(first, expected);
}

#[test]
fn a_target_or_a_flag_without_effect_is_refused_by_every_command() {
    let out = test_needs::folder();
    let out = out.path().join("sweep").display().to_string();
    for (command, target, flags, said) in [
        ("run", "http://a/", "--tls", "names plain text; write https://"),
        ("run", "http://a", "--size 64", "--size has no effect on http"),
        ("search", "http://a", "--slo p99<1ms --size 64", "--size has no effect on http"),
        ("sweep", "redis://a", "--var size=64,128 --out", "--size has no effect on resp-ping"),
        ("sweep", "ftp://a", "--var rate=1k --out", "is not supported"),
    ] {
        let mut words = vec![command, target];
        words.extend(flags.split_whitespace());
        if flags.ends_with("--out") {
            words.push(&out);
        }
        expect_one_line(&loadgen(&words), 64, said);
    }
}
