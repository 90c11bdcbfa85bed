//! The example `resp_store`: what clients see of a store whose requests travel between shards.

mod common;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;

use common::example::Example;
use common::{TEST_TIMEOUT, read};
use test_needs::Need;

/// A store with three workers, and its address.
fn start() -> (Example, String) {
    let example = Example::start("resp_store", &["127.0.0.1:0", "3"]);
    let line = example.line();
    let address = line.strip_prefix("listening on ").expect("it says where").to_owned();
    (example, address)
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// A request, as clients send it.
fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

fn bulk(text: Option<&String>) -> String {
    text.map_or("$-1\r\n".to_owned(), |text| format!("${}\r\n{text}\r\n", text.len()))
}

#[track_caller]
fn expect(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    let received = read_all(client, &mut bytes);
    let text = String::from_utf8_lossy(&bytes[..received]);
    assert_eq!(text, expected);
}

/// Reads until the buffer is full or the stream ends; returns how many bytes came.
fn read_all(client: &mut TcpStream, bytes: &mut [u8]) -> usize {
    let mut received = 0;
    while received < bytes.len() {
        match read(&mut *client, &mut bytes[received..]).unwrap() {
            0 => break,
            length => received += length,
        }
    }
    received
}

#[test]
fn each_command_answers_as_redis_does() {
    let (_example, address) = start();
    let mut client = connect(&address);
    for (words, answer) in [
        (&["PING"][..], "+PONG\r\n"),
        (&["ping", "hello"], "$5\r\nhello\r\n"),
        (&["ECHO", ""], "$0\r\n\r\n"),
        (&["GET", "a"], "$-1\r\n"),
        (&["SET", "a", "41"], "+OK\r\n"),
        (&["INCR", "a"], ":42\r\n"),
        (&["INCR", "new"], ":1\r\n"),
        (&["GET", "a"], "$2\r\n42\r\n"),
        (&["SET", "b", "x"], "+OK\r\n"),
        (&["INCR", "b"], "-ERR value is not an integer or out of range\r\n"),
        (&["SET", "c", "9223372036854775807"], "+OK\r\n"),
        (&["INCR", "c"], "-ERR value is not an integer or out of range\r\n"),
        (&["MGET", "a", "none", "b"], "*3\r\n$2\r\n42\r\n$-1\r\n$1\r\nx\r\n"),
        (&["DEL", "a", "b", "none", "c", "new"], ":4\r\n"),
        (&["DEL", "a"], ":0\r\n"),
        (&["SET", "a"], "-ERR unknown command, or wrong arguments\r\n"),
        (&["FLUSHALL"], "-ERR unknown command, or wrong arguments\r\n"),
        (&["QUIT"], "+OK\r\n"),
    ] {
        client.write_all(&request(words)).unwrap();
        expect(&mut client, answer);
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "QUIT ends the connection");
}

#[test]
fn lines_of_words_are_requests_and_garbage_is_an_error() {
    let (_example, address) = start();
    let mut client = connect(&address);
    client.write_all(b"\r\nSET  a 1\r\nGET a\n").unwrap();
    expect(&mut client, "+OK\r\n$1\r\n1\r\n");
    for garbage in ["*1\r\n:5\r\n", "*x\r\n", "*99999999999999999999\r\n", "*1\r\n$-1\r\n"] {
        let mut client = connect(&address);
        client.write_all(format!("PING\r\n{garbage}").as_bytes()).unwrap();
        expect(&mut client, "+PONG\r\n-ERR ");
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"\r\n") && rest.len() < 60, "{garbage:?}: {rest:?}");
    }
}

/// Each client has keys of its own on all shards, so a map knows each reply.
#[test]
fn replies_come_in_the_order_of_the_requests_whatever_the_shards() {
    const CLIENTS: u64 = 8;
    const REQUESTS: usize = 3_000;
    let (_example, address) = start();
    let run = |number: u64, address: &str| {
        let mut random = fastrand::Rng::with_seed(number);
        let (mut model, mut requests, mut replies) =
            (HashMap::<String, String>::new(), Vec::new(), String::new());
        for _ in 0..REQUESTS {
            let mut key = || format!("{number}:{}", random.u8(0..20));
            let (a, b, c) = (key(), key(), key());
            match random.u8(0..5) {
                0 => {
                    let value = "v".repeat(random.usize(0..200));
                    requests.extend(request(&["SET", &a, &value]));
                    replies.push_str("+OK\r\n");
                    model.insert(a, value);
                }
                1 => {
                    requests.extend(request(&["GET", &a]));
                    replies.push_str(&bulk(model.get(&a)));
                }
                2 => {
                    requests.extend(request(&["DEL", &a, &b, &c]));
                    let deleted =
                        [a, b, c].iter().filter(|key| model.remove(*key).is_some()).count();
                    replies.push_str(&format!(":{deleted}\r\n"));
                }
                3 => {
                    requests.extend(request(&["MGET", &a, &b, &c]));
                    let values = [a, b, c].map(|key| bulk(model.get(&key))).concat();
                    replies.push_str(&format!("*3\r\n{values}"));
                }
                _ => {
                    requests.extend(request(&["PING"]));
                    replies.push_str("+PONG\r\n");
                }
            }
        }
        let client = connect(address);
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(number);
            let mut rest = &requests[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(4_000)));
                writer.write_all(piece).unwrap();
                rest = after;
            }
        });
        let (mut client, mut received) = (client, vec![0; replies.len()]);
        let length = read_all(&mut client, &mut received);
        writing.join().unwrap();
        assert!(received[..length] == *replies.as_bytes(), "client {number} got other replies");
    };
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let address = &address;
            scope.spawn(move || run(number, address));
        }
    });
}

#[test]
fn increments_of_many_clients_are_all_counted() {
    let (_example, address) = start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = connect(&address);
                for _ in 0..50 {
                    client.write_all(&request(&["INCR", "counter"]).repeat(20)).unwrap();
                    let mut line = [0];
                    for _ in 0..20 {
                        while line != *b"\n" {
                            assert_eq!(read(&mut client, &mut line).unwrap(), 1);
                        }
                        line = [0];
                    }
                }
            });
        }
    });
    let mut client = connect(&address);
    client.write_all(&request(&["GET", "counter"])).unwrap();
    expect(&mut client, "$4\r\n8000\r\n");
}

#[test]
fn clients_that_leave_with_requests_under_way_cost_nothing_else() {
    let (mut example, address) = start();
    for _ in 0..200 {
        let mut client = connect(&address);
        for key in 0..50 {
            client.write_all(&request(&["SET", &key.to_string(), "value"])).unwrap();
        }
    }
    let mut client = connect(&address);
    client.write_all(&request(&["PING"])).unwrap();
    expect(&mut client, "+PONG\r\n");
    drop(client);
    example.signal("INT");
    let (status, errors) = example.end();
    assert!(status.success(), "{errors}");
}

#[test]
fn redis_benchmark_runs_against_it() {
    if test_needs::missing(Need::Program("redis-benchmark")) {
        return;
    }
    let (_example, address) = start();
    let port = address.rsplit(':').next().unwrap();
    let arguments = ["-p", port, "-t", "ping,set,get,incr", "-n", "2000", "-P", "16", "-r", "100"];
    let output = Command::new("redis-benchmark").args(arguments).arg("--csv").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    for command in ["PING_INLINE", "SET", "GET", "INCR"] {
        assert!(table.contains(&format!("\"{command}\"")), "{table}");
    }
}
