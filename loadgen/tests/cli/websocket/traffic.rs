//! Loads of WebSocket whose replies are right, and some that are not.

use std::sync::{Arc, Mutex};

use super::peer::{WebSocket, serve};
use crate::program::*;
use crate::servers::Server;
use crate::tls;

/// A short load of a server by its URL: `scheme://127.0.0.1:PORT/path`.
#[track_caller]
fn load_url(scheme: &str, server: &Server, flags: &str) -> Finished {
    let url = format!("{scheme}://{}/echo?room=1", server.address());
    let short = "--duration 200ms --warmup 50ms --json -";
    let words = ["run", &url].into_iter().chain(short.split(' '));
    loadgen(&words.chain(flags.split_whitespace()).collect::<Vec<_>>())
}

#[test]
fn every_message_comes_back_in_open_and_closed_loops_of_all_lengths() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = serve(move |mut client, _| {
        seen.lock().unwrap().push(client.head.clone());
        client.echo();
    });
    for flags in [
        "-c 3",
        "-c 3 --pipeline 20 --size 100..300",
        "-c 2 --size 60KiB..70KiB --ws-text",
        "-c 2 --rate 500 --size lognormal:60,1",
        "-c 2 --churn 5",
        "-c 2 --rate 200 --connect-per-request",
        "-c 2 --verify length --lifetime 50ms",
    ] {
        let finished = load_url("ws", &server, &format!("{flags} --http-header Origin:here"));
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        assert!(count(&record, "measured") > 5, "{flags}: {record}");
        assert_eq!(count(&record, "completed"), count(&record, "sent"), "{flags}");
        assert_eq!(record["args"]["protocol"], "websocket");
        assert_eq!(record["args"]["http_path"], "/echo?room=1");
        assert_eq!(record["args"]["ws_text"], flags.contains("--ws-text"));
    }
    let heads = heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.starts_with("GET /echo?room=1 HTTP/1.1\r\n")));
    assert!(heads.iter().all(|head| head.contains("\r\nOrigin:here\r\n")));
}

#[test]
fn messages_are_sent_over_tls() {
    let authority = tls::authority::Authority::new();
    let (server, _) = tls::peer::serve(authority.server(), |client, _| {
        if let Some(mut client) = WebSocket::accept(client) {
            client.echo();
        }
    });
    let trust = authority.trust();
    let flags = format!("-c 2 --size 1..40KiB {}", trust.strip_prefix("--tls ").unwrap());
    let finished = load_url("wss", &server, &flags);
    expect_no_errors(&finished);
    assert!(count(&finished.json(), "measured") > 5, "{finished:?}");
}

#[test]
fn a_wrong_byte_is_located_in_its_message() {
    let server = serve(|mut client, number| {
        for request in 0.. {
            let Some((first @ 0x82, mut payload)) = client.read() else { return };
            payload[5] ^= u8::from(number == 1 && request == 3);
            let (begin, end) = payload.split_at(2);
            client.write(first & 0x7f, begin);
            client.write(0x80, end);
        }
    });
    let finished = load_url("ws", &server, "-c 3 --size 50");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    assert_eq!((count(&record, "mismatches"), count(&record, "failed")), (1, 1));
    let mismatch = &record["runs"][0]["first_mismatch"];
    // Behind two heads of two bytes.
    assert_eq!((&mismatch["request"], &mismatch["offset_bytes"]), (&3.into(), &9.into()));
    let said = "first wrong byte: connection 1, request 3, offset 9: ";
    assert!(finished.stderr.contains(said), "{finished:?}");
    assert_eq!(mismatch["note"], "byte 5 of the message");
}

#[test]
fn the_words_of_a_close_frame_are_in_the_report() {
    let server = serve(|mut client, number| {
        for request in 0.. {
            let Some((first, payload)) = client.read() else { return };
            if number == 0 && request == 3 {
                client.write(0x88, b"\x03\xf3out of memory");
                // The answer of the client ends it.
                let answer = client.read();
                assert_eq!(answer, Some((0x88, vec![0x03, 0xe8])));
                return;
            }
            client.write(first, &payload);
        }
    });
    let finished = load_url("ws", &server, "-c 2");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "closed_by_server"), count(&record, "failed")), (1, 1));
    let words = "the server sent a close frame: 1011 (internal error) 'out of memory'";
    assert_eq!(record["runs"][0]["first_other_error"], words);
}
