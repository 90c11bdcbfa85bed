//! Servers that do not let a connection log in, before the load and during it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::fake_redis::{self, Read};
use crate::program::*;
use crate::servers::Server;

const FLAGS: &str = "--protocol resp2 --keys 10 -c 2 --authenticate secret";

#[test]
fn a_server_that_does_not_answer_a_login_ends_the_run_after_the_timeout() {
    let server = Server::start(|mut client| client.swallow());
    let flags = format!("{FLAGS} --timeout 200ms");
    let said = ": no answer within the timeout; is it the right --protocol? (--timeout)";
    expect_one_line(&load(&server, &flags), 1, said);
    let said = ": no answer within the timeout (--timeout)";
    expect_one_line(&load(&server, &format!("{flags} --preload")), 1, said);
}

#[test]
fn a_server_that_closes_instead_of_answering_a_login_is_named() {
    let server = Server::start(|mut client| {
        client.read_some(64 * 1024);
    });
    for preload in ["", "--preload"] {
        let finished = load(&server, &format!("{FLAGS} {preload}"));
        expect_one_line(&finished, 1, "the server closed the connection");
    }
}

#[test]
fn a_login_that_is_refused_during_the_load_is_a_failed_connect_and_the_run_goes_on() {
    let logins = AtomicU32::new(0);
    let special = move |words: &[Vec<u8>]| {
        let is_login = words[0] == b"AUTH";
        // Every third one, but not the first two, which come before the load.
        let number = if is_login { logins.fetch_add(1, Ordering::SeqCst) } else { 0 };
        is_login.then(|| match number % 3 {
            2 => b"-WRONGPASS not now\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        })
    };
    let server = fake_redis::start(|read: &Read<'_>| read.right(), special);
    let finished = load(&server, &format!("{FLAGS} --churn 20"));
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "connect_failures") > 0, "{finished:?}");
    assert!(count(&record, "completed") > 100, "{finished:?}");
    let error = record["runs"][0]["first_other_error"].as_str().unwrap();
    assert!(error.starts_with("log in: the server said '-WRONGPASS not now'"), "{error}");
    assert!(!record.to_string().contains("secret"));
}

#[test]
fn a_connection_for_each_request_logs_in_each_time() {
    let special = |words: &[Vec<u8>]| (words[0] == b"AUTH").then(|| b"+OK\r\n".to_vec());
    let server = fake_redis::start(|read: &Read<'_>| read.right(), special);
    let finished = load(&server, &format!("{FLAGS} --connect-per-request"));
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "completed") > 10, "{finished:?}");
}

#[test]
fn a_password_can_come_from_the_environment() {
    let special = |words: &[Vec<u8>]| {
        (words[0] == b"AUTH").then(|| match &words[1..] {
            [user, password] if user == b"me" && password == b"secret" => b"+OK\r\n".to_vec(),
            _ => b"-WRONGPASS\r\n".to_vec(),
        })
    };
    let server = fake_redis::start(|read: &Read<'_>| read.right(), special);
    let address = server.address();
    let words =
        ["run", &address, "--mix=set", "--protocol=resp2", "--duration=100ms", "--warmup=0s"];
    let run = |credentials: &str| {
        let mut command = command(&words);
        wait(command.env("LOADGEN_AUTHENTICATE", credentials).spawn().unwrap())
    };
    expect_no_errors(&run("me:secret"));
    expect_one_line(&run("me:other"), 1, "log in: the server said '-WRONGPASS'");
    let help = loadgen(&["run", "--help"]);
    assert!(help.stdout.contains("LOADGEN_AUTHENTICATE"), "{help:?}");
}
