//! Readers of a room that are slow: they lose their connection, and no one else loses anything.

use crate::common::total;
use crate::server::{Client, ExampleServer};

const FAST: usize = 20;
const SLOW: usize = 3;
/// So many lines are said at once. They fit in what the server keeps for a member.
const LINES_PER_ROUND: usize = 16;
/// More bytes than the buffers of the kernel hold for a connection.
const ROUNDS_MAX: usize = 2000;
/// What a process may grow by, beside the unsent bytes of slow members: rounded buffers, chunks.
const MEMORY_SPARE: usize = 8 << 20;
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// The text of a line, which names its number.
fn text(number: usize) -> String {
    format!("{number} {}", "x".repeat(2000 + number % 1000))
}

/// A member and its number as a guest.
fn join(server: &ExampleServer, connect: fn(&ExampleServer) -> Client) -> (Client, String) {
    let mut client = connect(server);
    let hello = client.line();
    let name = hello.strip_prefix("you are ").expect("it says who").to_owned();
    client.send("JOIN stage\n");
    client.expect(&format!("* {name} joined stage"));
    (client, name)
}

#[test]
fn a_slow_reader_in_a_broadcast_loses_only_itself() {
    let server = ExampleServer::start("chat_rooms", &[]);
    let mut slow: Vec<_> = (0..SLOW).map(|_| join(&server, Client::connect_slow)).collect();
    let mut fast: Vec<_> = (0..FAST).map(|_| join(&server, Client::connect)).collect();
    for (member, (client, _)) in fast.iter_mut().enumerate() {
        (member + 1..FAST).for_each(|_| assert!(client.line().ends_with(" joined stage")));
    }
    let speaker = fast[0].1.clone();
    let memory_before = server.memory();
    let (mut memory_max, mut said) = (0, 0);
    let mut leaves = vec![0; FAST];
    while leaves.iter().any(|&left| left < SLOW) {
        assert!(said < ROUNDS_MAX * LINES_PER_ROUND, "a slow member is never disconnected");
        let round = said..said + LINES_PER_ROUND;
        let lines: String = round.clone().map(|number| text(number) + "\n").collect();
        fast[0].0.send(&lines);
        for ((client, _), leaves) in fast.iter_mut().zip(&mut leaves) {
            for number in round.clone() {
                let mut line = client.line();
                while slow.iter().any(|(_, name)| line == format!("* {name} left stage")) {
                    *leaves += 1;
                    line = client.line();
                }
                assert_eq!(line, format!("{speaker}: {}", text(number)));
            }
        }
        said = round.end;
        memory_max = memory_max.max(server.memory());
    }
    assert_eq!(leaves, [SLOW; FAST]);
    for (client, _) in &mut slow {
        let lines = std::iter::from_fn(|| client.next_line());
        let lines = lines.filter(|line| !line.starts_with("* "));
        let seen = lines.enumerate().map(|(number, line)| {
            assert_eq!(line, format!("{speaker}: {}", text(number)), "bytes are missing before it");
        });
        assert!(seen.count() < said, "it got all, so it was not slow");
    }
    let growth = memory_max.saturating_sub(memory_before);
    assert!(growth < SLOW * UNSENT_BYTES_MAX + MEMORY_SPARE, "it grew by {growth} bytes");
    server.interrupt();
    assert_eq!(total(&server.table(), "errors"), SLOW as u64);
}
