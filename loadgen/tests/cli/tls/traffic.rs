//! Requests and replies over TLS: every byte is compared, whatever the records look like.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use super::authority::Authority;
use super::peer::{Trickle, echo, echo_some, handshake, serve};
use crate::program::*;
use crate::servers::Server;

#[test]
fn every_protocol_runs_over_tls() {
    let authority = Authority::new();
    let trust = authority.trust();
    let server = echo(authority.server());
    for protocol in ["raw", "len32", "line"] {
        let finished = load(&server, &format!("-c 2 --protocol {protocol} {trust}"));
        expect_no_errors(&finished);
        assert!(count(&finished.json(), "measured") > 0, "{protocol}");
    }
    let answering = |answer: &'static [u8], end: &'static [u8]| {
        serve(authority.server(), move |mut client, _| {
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                seen.extend_from_slice(&buffer[..count]);
                if seen.ends_with(end) {
                    seen.clear();
                    client.write_all(answer).unwrap();
                }
            }
        })
        .0
    };
    for (server, protocol) in [
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"\r\n\r\n"), "http"),
        (answering(b"+PONG\r\n", b"PING\r\n"), "resp-ping"),
        (answering(b"STORED\r\n", b"\r\n"), "memcached"),
    ] {
        let flags = format!("-c 2 --protocol {protocol} {trust}");
        let finished = load(&server, &flags);
        expect_no_errors(&finished);
        assert!(count(&finished.json(), "measured") > 0, "{protocol}");
    }
}

#[test]
fn large_requests_and_replies_are_compared_to_the_last_byte() {
    let authority = Authority::new();
    let server = echo(authority.server());
    let finished = load(&server, &format!("-c 2 --size 3MiB {}", authority.trust()));
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "bytes_received") >= 6 << 20, "{record}");
}

#[test]
fn many_requests_at_once_are_answered_in_order() {
    let authority = Authority::new();
    let server = echo(authority.server());
    let flags =
        format!("-c 2 --pipeline 200 --size 1..2KiB --protocol len32 {}", authority.trust());
    let finished = load(&server, &flags);
    expect_no_errors(&finished);
    expect_conserved(&finished.json());
}

#[test]
fn a_server_that_writes_a_byte_at_a_time_is_understood() {
    let authority = Authority::new();
    let config = Arc::new(authority.server());
    let server = Server::start(move |client| {
        let Some(mut client) = handshake(&config, Trickle(client.into_stream())) else { return };
        while echo_some(&mut client) > 0 {}
    });
    let finished = load(&server, &format!("-c 2 --size 300 {}", authority.trust()));
    expect_no_errors(&finished);
    assert!(count(&finished.json(), "measured") > 0, "{finished:?}");
}

#[test]
fn a_wrong_byte_inside_a_record_is_located() {
    let authority = Authority::new();
    let (server, _) = serve(authority.server(), |mut client, number| {
        let mut bytes = [0; 50];
        for request in 0.. {
            if client.read_exact(&mut bytes).is_err() {
                return;
            }
            bytes[5] ^= u8::from(number == 1 && request == 3);
            if client.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let finished = load(&server, &format!("-c 3 --size 50 --duration 1s {}", authority.trust()));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    assert_eq!((count(&record, "mismatches"), count(&record, "failed")), (1, 1));
    let mismatch = &record["runs"][0]["first_mismatch"];
    assert_eq!((&mismatch["request"], &mismatch["offset_bytes"]), (&3.into(), &5.into()));
}

#[test]
fn connections_are_replaced_in_order_and_each_request_can_have_its_own() {
    let authority = Authority::new();
    for flags in ["--churn 3", "--connect-per-request"] {
        // A stream that the loader does not end in order is an error of the read.
        let (server, _) = serve(authority.server(), |mut client, _| {
            let mut buffer = [0; 64];
            loop {
                match client.read(&mut buffer).expect("the end of the stream is announced") {
                    0 => return,
                    count => client.write_all(&buffer[..count]).unwrap(),
                }
            }
        });
        let finished = load(&server, &format!("-c 2 {flags} {}", authority.trust()));
        expect_no_errors(&finished);
        let record = finished.json();
        assert!(count(&record, "churned") > 5, "{record}");
        assert_eq!(record["latency_ns"]["handshake"]["count"], count(&record, "connects"));
    }
}
