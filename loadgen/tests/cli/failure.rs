//! Bad days: servers that answer wrongly, late, or not at all.

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use test_needs::Need;

use crate::program::*;
use crate::servers::Server;

#[test]
fn a_corrupted_byte_is_located_and_costs_only_its_connection() {
    // The second connection's third request comes back with its byte 5 wrong.
    let server = Server::start(|mut client| {
        for request in 0.. {
            let mut bytes = client.read_exactly(50);
            if bytes.len() < 50 {
                return;
            }
            if client.number == 1 && request == 3 {
                bytes[5] ^= 0x80;
            }
            client.write(&bytes);
        }
    });
    let finished = load(&server, "-c 3 --size 50");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "mismatches"), 1);
    assert_eq!(count(&record, "failed"), 1);
    assert!(count(&record, "measured") > 0, "the other connections went on");
    let mismatch = &record["runs"][0]["first_mismatch"];
    assert_eq!((&mismatch["request"], &mismatch["offset_bytes"]), (&3.into(), &5.into()));
    let expected = mismatch["expected"].as_u64().unwrap();
    assert_eq!(mismatch["got"], expected ^ 0x80);
    assert!(finished.stderr.contains("request 3, offset 5"), "{finished:?}");
}

#[test]
fn a_server_that_swaps_two_clients_data_is_found_out() {
    let exchange = [Mutex::default(), Mutex::default()];
    let both_have_come = Barrier::new(2);
    let server = Server::start(move |mut client| {
        let number = client.number as usize;
        if number > 1 {
            // Those that replace the first two.
            return client.swallow();
        }
        *exchange[number].lock().unwrap() = client.read_exactly(64);
        both_have_come.wait();
        client.write(&exchange[1 - number].lock().unwrap());
        client.swallow();
    });
    let finished = load(&server, "-c 2 --timeout 300ms");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "mismatches"), count(&record, "completed")), (2, 0));
}

#[test]
fn connections_closed_in_mid_run_are_counted_and_the_rest_goes_on() {
    let server = Server::start(|mut client| {
        for request in 0.. {
            if client.number < 2 && request == 5 {
                return client.close();
            }
            if client.echo_some(64) == 0 {
                return;
            }
        }
    });
    let finished = load(&server, "-c 5");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "closed_by_server"), 2);
    assert_eq!(count(&record, "failed"), 2);
    assert!(count(&record, "measured") > 0);
    assert!(finished.stderr.contains("2 connections closed by the server"), "{finished:?}");
}

#[test]
fn a_connection_that_is_lost_is_replaced_and_the_load_goes_on() {
    let server = Server::start(|mut client| {
        for _ in 0..3 {
            client.echo_some(64);
        }
        client.close();
    });
    let finished = load(&server, "-c 2 --rate 500");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "connects") > 10, "{record}");
    assert_eq!(count(&record, "unsent"), 0, "{record}");
}

#[test]
fn a_run_whose_server_has_gone_ends_early_and_says_so() {
    let server = Server::that_leaves(3, 64);
    let begun = Instant::now();
    let finished = load(&server, "-c 3 -t 2 --duration 60s --timeout 300ms");
    assert!(begun.elapsed() < RUN_TIME_MAX);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "connect_failures") > 0, "{record}");
    assert!(finished.stderr.contains("the run ended early"), "{finished:?}");
}

#[test]
fn a_reset_is_distinguished_from_an_orderly_close() {
    // Closing with unread bytes makes the kernel reset the connection.
    let server = Server::start(|mut client| {
        client.read_exactly(10);
    });
    let finished = load(&server, "-c 3 --size 100");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "closed_by_server"), 0);
    assert!(count(&record, "resets") >= 3, "{record}");
}

#[test]
fn a_server_that_never_answers_times_out() {
    let server = Server::start(|mut client| client.swallow());
    let finished = load(&server, "-c 3 --pipeline 2 --duration 400ms --timeout 150ms");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    let timeouts = count(&record, "timeouts");
    assert!(timeouts >= 3, "{record}");
    assert_eq!((count(&record, "timed_out"), count(&record, "failed")), (2 * timeouts, 0));
    assert_eq!(count(&record, "completed"), 0);
}

#[test]
fn a_loader_that_was_held_up_itself_blames_no_connection() {
    // More connections than two waits report: some replies are still unread when it judges. And
    // the server, answering in turn, waits for the loader meanwhile.
    const CLIENTS: usize = 1200;
    if test_needs::missing(Need::Descriptors(CLIENTS as u64 + 1_000)) {
        return;
    }
    let server = Server::in_turn(CLIENTS, 64);
    let round = 64 * CLIENTS as u64;
    let address = server.address();
    let words = ["run", &address, "-c1200", "--warmup=0s", "--duration=60s", "--timeout=2s"];
    let child = command(&[&words[..], &["--json", "-"]].concat()).spawn().unwrap();
    until(|| server.bytes_read() >= 3 * round || has_ended(&child));
    signal(&child, "STOP");
    // Nothing to wait for: the time itself is the hold-up.
    thread::sleep(Duration::from_millis(2500));
    signal(&child, "CONT");
    let before = server.bytes_read();
    until(|| server.bytes_read() >= before + 3 * round || has_ended(&child));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(count(&finished.json(), "timeouts"), 0, "{finished:?}");
}

#[test]
fn requests_still_unanswered_after_the_drain_are_censored_not_dropped() {
    // One byte every 20 ms is progress, so nothing times out; but the reply needs 20 s.
    let server = Server::start(|mut client| {
        let bytes = client.read_exactly(1000);
        for byte in bytes.chunks(1) {
            client.write(byte);
            thread::sleep(Duration::from_millis(20));
        }
    });
    let finished = load(&server, "-c 3 --size 1000 --timeout 300ms --duration 100ms");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "censored"), count(&record, "timeouts")), (3, 0));
}
