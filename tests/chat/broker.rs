//! The policies of the broker for subscribers that are slow.

use crate::common::total;
use crate::server::{Client, ExampleServer};

const TOPIC: &str = "weather";
/// On both shards.
const FAST: usize = 6;
const PUBLICATIONS: usize = 12_000;
/// So many are published at once. They fit in what the server keeps for a subscriber.
const PUBLICATIONS_PER_ROUND: usize = 50;
/// What a process may grow by: unsent bytes of one slow subscriber, rounded buffers, chunks.
const MEMORY_SPARE: usize = 8 << 20;

fn text(number: usize) -> String {
    format!("{number} {}", "y".repeat(500 + number % 1000))
}

fn subscribe(server: &ExampleServer, connect: fn(&ExampleServer) -> Client) -> Client {
    let mut client = connect(server);
    client.send(&format!("SUBSCRIBE {TOPIC}\n"));
    client.expect(&format!("subscribed {TOPIC}"));
    client
}

/// A broker with a slow subscriber that has not read anything of all publications, and fast ones
/// that have read them all.
struct Scene {
    server: ExampleServer,
    publisher: Client,
    fast: Vec<Client>,
    slow: Client,
}

impl Scene {
    fn play(policy: &str) -> Self {
        let server = ExampleServer::start("broker", &["--slow", policy]);
        let fast = (0..FAST).map(|_| subscribe(&server, Client::connect)).collect();
        let slow = subscribe(&server, Client::connect_slow);
        let publisher = Client::connect(&server);
        let mut scene = Self { server, publisher, fast, slow };
        let memory_before = scene.server.memory();
        for begin in (0..PUBLICATIONS).step_by(PUBLICATIONS_PER_ROUND) {
            scene.publish(begin..begin + PUBLICATIONS_PER_ROUND);
            let growth = scene.server.memory().saturating_sub(memory_before);
            assert!(growth < MEMORY_SPARE, "it grew by {growth} bytes");
        }
        scene
    }

    /// Publishes, and waits until the fast subscribers have all.
    fn publish(&mut self, numbers: std::ops::Range<usize>) {
        let lines = numbers.clone().map(|number| format!("PUBLISH {TOPIC} {}\n", text(number)));
        self.publisher.send(&lines.collect::<String>());
        for client in &mut self.fast {
            numbers.clone().for_each(|number| client.expect(&message(number)));
        }
    }

    /// How many errors the server counted.
    fn errors(self) -> u64 {
        self.server.interrupt();
        total(&self.server.table(), "errors")
    }
}

fn message(number: usize) -> String {
    format!("MESSAGE {TOPIC} {}", text(number))
}

#[test]
fn a_slow_subscriber_learns_exactly_how_many_publications_it_missed() {
    let mut scene = Scene::play("skip");
    let mut seen = 0;
    let missed: usize = loop {
        let line = scene.slow.line();
        if let Some(count) = line.strip_prefix("missed ") {
            break count.parse().expect("a number");
        }
        assert_eq!(line, message(seen));
        seen += 1;
    };
    assert!(missed > 0);
    assert_eq!(seen + missed, PUBLICATIONS);
    scene.publish(PUBLICATIONS..PUBLICATIONS + 1);
    scene.slow.expect(&message(PUBLICATIONS));
    assert_eq!(scene.errors(), 0);
}

#[test]
fn a_slow_subscriber_is_disconnected_if_that_is_the_policy() {
    let mut scene = Scene::play("disconnect");
    let lines = std::iter::from_fn(|| scene.slow.next_line());
    let seen = lines.enumerate().map(|(number, line)| assert_eq!(line, message(number)));
    assert!(seen.count() < PUBLICATIONS);
    scene.publish(PUBLICATIONS..PUBLICATIONS + 1);
    assert_eq!(scene.errors(), 1);
}
