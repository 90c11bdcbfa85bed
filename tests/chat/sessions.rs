//! What a user sees who tries the examples.

use std::process::Command;

use crate::common::example::example_program;
use crate::server::{Client, ExampleServer};

/// What comes before the end of the stream.
fn rest(mut client: Client) -> Vec<String> {
    std::iter::from_fn(|| client.next_line()).collect()
}

/// A guest that has joined the kitchen, and its name.
fn guest(server: &ExampleServer) -> (Client, String) {
    let mut client = Client::connect(server);
    let hello = client.line();
    let name = hello.strip_prefix("you are ").unwrap_or_else(|| panic!("{hello}")).to_owned();
    client.send("JOIN kitchen\n");
    client.expect(&format!("* {name} joined kitchen"));
    (client, name)
}

#[test]
fn a_line_is_said_to_the_members_of_its_room_on_every_shard() {
    let server = ExampleServer::start("chat_rooms", &[]);
    let (mut speaker, its_name) = guest(&server);
    // The shards get connections in turn, so that members are on both.
    let mut others: Vec<_> = (0..3).map(|_| guest(&server)).collect();
    for number in 0..others.len() {
        let line = format!("* {} joined kitchen", others[number].1);
        speaker.expect(&line);
        others[..number].iter_mut().for_each(|(client, _)| client.expect(&line));
    }
    speaker.send("is there co");
    speaker.send("ffee?\nJOIN hall\nalone\n");
    speaker.expect(&format!("{its_name}: is there coffee?"));
    speaker.expect(&format!("* {its_name} joined hall"));
    speaker.expect(&format!("{its_name}: alone"));
    speaker.send("LEAVE\nhello?\n");
    speaker.expect("you left");
    speaker.expect("error: write `JOIN ROOM` first");
    speaker.send(&"x".repeat(5000));
    assert_eq!(rest(speaker), ["error: a line has at most 4096 bytes"]);
    for (client, _) in &mut others {
        client.expect(&format!("{its_name}: is there coffee?"));
        client.expect(&format!("* {its_name} left kitchen"));
    }
    let (closed, its_name) = others.remove(0);
    drop(closed);
    others.iter_mut().for_each(|(it, _)| it.expect(&format!("* {its_name} left kitchen")));
    server.interrupt();
    for (client, _) in others {
        assert_eq!(rest(client), ["* the server drains"]);
    }
    server.table();
}

#[test]
fn what_is_published_reaches_the_subscribers_of_its_topic_on_every_shard() {
    let server = ExampleServer::start("broker", &[]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send("SUBSCRIBE news\nSUBSCRIBE news\n");
        client.expect("subscribed news");
        client.expect("subscribed news");
    }
    let mut publisher = Client::connect(&server);
    publisher.send("PUBLISH sports no one asked\nPUBLISH news it works\nPUBLISH news\n");
    publisher.expect("error: write `SUBSCRIBE TOPIC`, `UNSUBSCRIBE TOPIC` or `PUBLISH TOPIC TEXT`");
    clients.iter_mut().for_each(|client| client.expect("MESSAGE news it works"));
    clients[0].send("UNSUBSCRIBE news\nUNSUBSCRIBE news\nSUBSCRIBE sports\n");
    clients[0].expect("unsubscribed news");
    clients[0].expect("unsubscribed news");
    clients[0].expect("subscribed sports");
    publisher.send("PUBLISH news again\nPUBLISH sports one to nil\n");
    clients[0].expect("MESSAGE sports one to nil");
    clients[1..].iter_mut().for_each(|client| client.expect("MESSAGE news again"));
    publisher.send(&"x".repeat(5000));
    assert_eq!(rest(publisher), ["error: a line has at most 4096 bytes"]);
    server.interrupt();
    clients.into_iter().for_each(|client| assert!(rest(client).is_empty()));
    server.table();
}

/// Runs an example that must fail at once; returns its error message.
fn failure(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example_program(name)).args(arguments).output().expect("start it");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "a failure prints to standard error only: {output:?}");
    String::from_utf8(output.stderr).expect("it is text")
}

#[test]
fn a_wrong_flag_and_an_address_that_is_taken_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in ["chat_rooms", "broker"] {
        for wrong in [&["--workers", "0"][..], &["--workers"], &["--fast"], &["nowhere"]] {
            let words = failure(name, wrong);
            let usage = format!("usage: {name} [ADDRESS] [--workers N]");
            assert!(words.contains(wrong[0]) && words.contains(&usage), "{words}");
        }
        let words = failure(name, &[&address]);
        assert!(words.contains(&address), "{words}");
    }
    let words = failure("broker", &["--slow", "wait"]);
    assert!(words.contains("--slow wait") && words.contains("skip|disconnect"), "{words}");
}
