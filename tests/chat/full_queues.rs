//! More lines at once than the queues of the shards hold: their senders wait, and nothing is lost.

use std::thread;

use crate::common::total;
use crate::server::{Client, ExampleServer};

/// More shards than cores, so that some do not run while others post to them.
const SHARDS: &str = "8";
const CLIENTS: usize = 16;
/// All clients but those of a shard post to it: three times as many lines as its queue holds.
const LINES: usize = 1000;

/// Each client sends all its lines, made from its index and their numbers, before any reads. Then
/// each must get all lines of all clients, those of each in order.
fn all_get_all(clients: &mut [Client], sent: fn(usize, usize) -> String, seen: &[String]) {
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&(0..LINES).map(|number| sent(index, number)).collect::<String>());
    }
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || {
                let mut next = vec![0; seen.len()];
                for _ in 0..LINES * CLIENTS {
                    let line = client.line();
                    let (begin, number) = line.rsplit_once(' ').expect("two parts");
                    let of = seen.iter().position(|it| it == begin).expect("a known begin");
                    assert_eq!(
                        number,
                        next[of].to_string(),
                        "{begin}: a line is missing before it"
                    );
                    next[of] += 1;
                }
            });
        }
    });
}

fn expect_no_errors(server: ExampleServer) {
    server.interrupt();
    assert_eq!(total(&server.table(), "errors"), 0);
}

#[test]
fn a_speaker_waits_while_the_queue_of_a_shard_is_full_and_every_line_arrives() {
    let server = ExampleServer::start("chat_rooms", &["--workers", SHARDS]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(&server)).collect();
    let hello = clients.iter_mut().map(Client::line);
    let names: Vec<String> = hello.map(|it| it.replace("you are ", "")).collect();
    for index in 0..CLIENTS {
        clients[index].send("JOIN hall\n");
        let line = format!("* {} joined hall", names[index]);
        clients[..=index].iter_mut().for_each(|client| client.expect(&line));
    }
    let seen: Vec<String> = names.iter().map(|name| format!("{name}:")).collect();
    all_get_all(&mut clients, |_, number| format!("{number}\n"), &seen);
    expect_no_errors(server);
}

#[test]
fn a_publisher_waits_while_the_queue_of_a_shard_is_full_and_all_is_delivered() {
    let server = ExampleServer::start("broker", &["--workers", SHARDS, "--slow", "disconnect"]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send("SUBSCRIBE news\n");
        client.expect("subscribed news");
    }
    let seen: Vec<String> = (0..CLIENTS).map(|client| format!("MESSAGE news {client}")).collect();
    all_get_all(&mut clients, |client, number| format!("PUBLISH news {client} {number}\n"), &seen);
    expect_no_errors(server);
}
