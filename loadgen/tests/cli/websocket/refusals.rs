//! Servers that do not upgrade, before the load and during it.

use super::peer::WebSocket;
use crate::program::*;
use crate::servers::Server;

#[track_caller]
fn refused_by(answer: &'static [u8], said: &str) {
    let server = Server::start(move |mut client| {
        client.read_some(64 * 1024);
        client.write(answer);
        client.swallow();
    });
    let finished = load(&server, "--protocol websocket --http-path /chat -c 2");
    expect_one_line(&finished, 1, said);
    expect_one_line(&finished, 1, "set up a connection to 127.0.0.1:");
}

#[test]
fn a_server_without_websocket_is_quoted() {
    refused_by(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "the server said 'HTTP/1.1 404 Not Found'; does it speak WebSocket at the path /chat?",
    );
    refused_by(b"-ERR unknown command 'GET'\r\n", "the server said '-ERR unknown command 'GET''");
    refused_by(b"SSH-2.0-OpenSSH_9.2\r\n", "the server said 'SSH-2.0-OpenSSH_9.2'");
}

#[test]
fn an_accept_that_answers_another_key_is_refused() {
    refused_by(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "Sec-WebSocket-Accept is 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', and for this key it must be",
    );
}

#[test]
fn a_server_that_says_nothing_or_closes_is_named() {
    let silent = Server::start(|mut client| client.swallow());
    let finished = load(&silent, "--protocol websocket --timeout 200ms");
    expect_one_line(&finished, 1, "no answer within the timeout");
    let closing = Server::start(|mut client| drop(client.read_some(64 * 1024)));
    let finished = load(&closing, "--protocol websocket");
    expect_one_line(&finished, 1, "the server closed the connection");
}

#[test]
fn an_upgrade_that_is_refused_during_the_load_is_a_failed_connect_and_the_run_goes_on() {
    let server = Server::start(|mut client| {
        // Not the first two, which come before the load.
        if client.number % 3 == 2 {
            client.read_some(64 * 1024);
            client.write(b"HTTP/1.1 503 Busy\r\n\r\n");
            client.swallow();
        } else if let Some(mut client) = WebSocket::accept(client.into_stream()) {
            client.echo();
        }
    });
    let finished = load(&server, "--protocol websocket -c 2 --churn 20");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "connect_failures") > 0, "{finished:?}");
    assert!(count(&record, "completed") > 50, "{finished:?}");
    let error = record["runs"][0]["first_other_error"].as_str().unwrap();
    assert!(error.starts_with("upgrade to WebSocket: the server said 'HTTP/1.1 503 Busy'"));
}
