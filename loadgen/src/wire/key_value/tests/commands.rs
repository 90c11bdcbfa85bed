//! Commands of a file: their order, their bytes, and what their replies mean.

use std::sync::Arc;

use super::super::command_file::CommandFile;
use super::super::exchange::KeyValueExchange;
use super::super::{Commands, KeyValueSpec};
use crate::wire::tests::spec;
use crate::wire::{Outcome, Protocol, Reply, SLICE_BYTES_MAX, Traffic, TrafficSpec, Verify};

/// The traffic of the commands of a file, sent in this order by so many connections.
fn traffic(text: &str, order: &str, connections: u32) -> Traffic {
    let file = Arc::new(CommandFile::of_text("c", text).unwrap());
    let key_value = KeyValueSpec {
        keys: "5".parse().unwrap(),
        prefix: "k".parse().unwrap(),
        distribution: "uniform".parse().unwrap(),
        commands: Commands::File { file, order: order.parse().unwrap() },
        preload: false,
        connections,
    };
    let spec = spec(Protocol::Resp2, "16", Verify::None);
    Traffic::new(&TrafficSpec { key_value: Some(key_value), ..spec }, 11)
}

/// What a connection sends first: so many requests.
fn sent(traffic: &Traffic, connection: u32, requests: usize) -> String {
    let shared = traffic.key_value.as_ref().unwrap();
    let mut scratch = Vec::new();
    KeyValueExchange::new(shared, connection).assemble(traffic, shared, requests, &mut scratch);
    scratch.escape_ascii().to_string()
}

#[test]
fn the_connections_together_send_the_lines_of_a_file_in_their_order() {
    let text = "{\"command\":[\"a\"]}\n{\"command\":[\"b\"]}\n{\"command\":[\"a\"]}\nc\n";
    for order in ["sequential", "timed"] {
        let traffic = traffic(text, order, 2);
        let names = |connection: u32| {
            let bytes = sent(&traffic, connection, 3);
            let names = bytes.split(r"$1\r\n").skip(1).map(|rest| rest[..1].to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["a".into(); 3], ["b", "c", "b"].map(String::from).to_vec())
        );
    }
}

#[test]
fn the_words_of_a_line_of_json_are_sent_as_they_are() {
    let text = "{\"command\":[\"SET\",\"__key__\",{\"base64\":\"/wA=\"}]}";
    let expected = r"*3\r\n$3\r\nSET\r\n$7\r\n__key__\r\n$2\r\n\xff\x00\r\n";
    assert_eq!(sent(&traffic(text, "sequential", 1), 0, 1), expected);
}

#[test]
fn a_long_command_is_sent_in_slices() {
    let word = "x".repeat(3 * SLICE_BYTES_MAX);
    let traffic = traffic(&format!("{{\"command\":[\"ECHO\",\"{word}\"]}}"), "sequential", 1);
    let shared = traffic.key_value.as_ref().unwrap();
    let mut exchange = KeyValueExchange::new(shared, 0);
    let (mut scratch, mut all, mut begun) = (Vec::new(), Vec::new(), 0);
    while begun == 0 || exchange.is_mid_request() {
        exchange.assemble(&traffic, shared, 1 - begun, &mut scratch);
        assert!(scratch.len() <= SLICE_BYTES_MAX);
        begun += exchange.advance_sent(shared, scratch.len());
        all.extend_from_slice(&scratch);
    }
    let expected = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{word}\r\n", word.len());
    assert!(all == expected.as_bytes(), "{} bytes", all.len());
}

#[test]
fn a_read_of_one_value_is_a_hit_or_a_miss_and_any_other_command_is_executed() {
    let text = "GET a\nHGET a b\nINCR n\nGET a\n";
    let traffic = traffic(text, "sequential", 1);
    let shared = traffic.key_value.as_ref().unwrap();
    let mut exchange = KeyValueExchange::new(shared, 0);
    let mut scratch = Vec::new();
    exchange.assemble(&traffic, shared, 4, &mut scratch);
    exchange.advance_sent(shared, scratch.len());
    let mut found = Vec::new();
    let replies = b"$1\r\nx\r\n$-1\r\n:5\r\n-WRONGTYPE no\r\n";
    exchange
        .verify_received(&traffic, shared, replies, |reply| {
            let Reply::Command { name, outcome } = reply else { panic!("{reply:?}") };
            found.push((name, outcome));
        })
        .unwrap();
    let error = found.pop().unwrap();
    assert!(matches!(error, (0, Outcome::Error { word, .. }) if word.as_str() == "WRONGTYPE"));
    let hit = Outcome::Hit { is_verified: false };
    let miss = Outcome::Miss { was_written: false };
    assert_eq!(found, [(0, hit), (1, miss), (2, Outcome::Done)]);
}

#[test]
fn sending_the_commands_of_a_file_allocates_nothing_after_a_while() {
    let line = |number: u32| format!("{{\"at\":0,\"command\":[\"SET\",\"{number}\",\"x\"]}}\n");
    let text: String = (0..5_000).map(line).collect();
    for order in ["sequential", "timed", "random"] {
        let traffic = traffic(&text, order, 3);
        let shared = traffic.key_value.as_ref().unwrap();
        let mut exchange = KeyValueExchange::new(shared, 1);
        let mut scratch = Vec::with_capacity(SLICE_BYTES_MAX);
        let replies = b"+OK\r\n".repeat(50);
        let mut allocations = 0;
        for turn in 0..300 {
            let counted = allocation_counter::measure(|| {
                exchange.assemble(&traffic, shared, 50, &mut scratch);
                assert_eq!(exchange.advance_sent(shared, scratch.len()), 50);
                for piece in replies.chunks(37) {
                    exchange.verify_received(&traffic, shared, piece, |_| ()).unwrap();
                }
            });
            // The queues and the memory for lines in pieces have grown by then.
            if turn >= 100 {
                allocations += counted.count_total;
            }
        }
        assert_eq!(allocations, 0, "{order}");
    }
}
