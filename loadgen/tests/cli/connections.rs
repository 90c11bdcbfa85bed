//! Connections of all kinds: replaced, one for each request, slowly made, over unix sockets, from
//! other addresses.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::program::*;
use crate::servers::Server;

#[test]
fn connections_are_replaced_after_so_many_requests() {
    let server = Server::echo();
    let finished = load(&server, "-c 3 --churn 5 --rate 1000 --arrival constant");
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    let connects = count(&record, "connects");
    assert_eq!(count(&record, "completed"), 250);
    assert!((48..=54).contains(&connects), "{connects} connections for 250 requests");
    assert_eq!(server.accepted(), connects);
}

#[test]
fn connections_are_replaced_after_a_lifetime() {
    let server = Server::echo();
    let finished = load(&server, "-c 4 --lifetime 50ms --rate 1000");
    expect_no_errors(&finished);
    assert!(count(&finished.json(), "churned") >= 8, "{finished:?}");
}

#[test]
fn every_request_can_have_a_connection_of_its_own() {
    let server = Server::echo();
    for rate in ["", "--rate 500 --arrival constant"] {
        let finished = load(&server, &format!("-c 4 --connect-per-request {rate}"));
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        // The end of a closed loop may find connections that were made for the next request.
        let unused = count(&record, "connects") - count(&record, "completed");
        assert!(unused <= if rate.is_empty() { 4 } else { 0 }, "{record}");
        assert!(count(&record, "measured") > 90, "{record}");
    }
}

#[test]
fn new_connections_come_no_faster_than_requested() {
    let server = Server::echo();
    let begun = std::time::Instant::now();
    let finished = load(&server, "-c 21 --connect-rate 100");
    expect_no_errors(&finished);
    // 21 connections have 20 gaps of 10 ms; warm-up and duration take 250 ms more.
    assert!(begun.elapsed().as_millis() >= 450, "{:?}", begun.elapsed());
}

#[test]
fn a_unix_socket_is_a_target() {
    let directory = test_needs::folder();
    let path = directory.path().join("echo.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..count]);
                }
            });
        }
    });
    let target = format!("unix:{}", path.display());
    let words = ["run", &target, "-c200", "--duration=200ms", "--warmup=50ms", "--json", "-"];
    let finished = loadgen(&words);
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "connects"), count(&record, "failed")), (200, 0));
    assert!(count(&record, "measured") > 0);
    let missing = loadgen(&["run", "unix:/no/such/socket", "-c1"]);
    expect_one_line(&missing, 1, "unix:/no/such/socket");
}

#[test]
fn connections_come_from_the_source_addresses_in_turn() {
    let sources = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sources);
    let server = Server::start(move |mut client| {
        seen.lock().unwrap().push(client.peer().ip().to_string());
        while client.echo_some(4096) > 0 {}
    });
    let finished = load(&server, "-c 6 --source 127.0.0.7-127.0.0.8,127.0.0.20");
    expect_no_errors(&finished);
    let mut sources = sources.lock().unwrap().clone();
    sources.sort();
    let each_twice =
        ["127.0.0.20", "127.0.0.20", "127.0.0.7", "127.0.0.7", "127.0.0.8", "127.0.0.8"];
    assert_eq!(sources, each_twice);
    let foreign = load(&server, "-c 1 --source 192.0.2.1");
    assert_eq!(foreign.code, Some(1), "{foreign:?}");
}

#[test]
fn a_server_that_closes_what_is_idle_before_all_are_open_ends_the_run_with_the_reason() {
    let closing = Server::start(|mut client| {
        client.close();
    });
    let finished = load(&closing, "-c 50 --connect-rate 1000 --timeout 300ms");
    expect_one_line(&finished, 1, "open 50 connections to 127.0.0.1:");
    assert!(finished.stderr.contains("because: the server closed it; does"), "{finished:?}");
}
