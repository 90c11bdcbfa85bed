//! Byte rates together with sending to others, files, handles, pauses and ends: slow, but nothing
//! is lost and nothing waits for ever.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::clients::{MUCH, config, connect, connect_narrow, receive, roomy};
use super::common::{MS, noise, read_to_end};
use super::probe::{Does, Event, Probed};
use evshard::server::{CloseReason, Limits, ServerConfig};

/// Half of [`MUCH`] is over a burst of a second, but does not take long.
fn rated(each: bool, total: bool) -> ServerConfig {
    let rate = |is_on: bool, rate| NonZeroU64::new(rate).filter(|_| is_on);
    let base = roomy();
    let limits = Limits { bytes_per_second: rate(each, 3_000_000), ..base.limits };
    ServerConfig { limits, bytes_per_second: rate(total, 4_000_000), ..base }
}

fn in_every_way() -> impl Iterator<Item = ServerConfig> {
    [(true, false), (false, true), (true, true)].into_iter().map(|(each, total)| rated(each, total))
}

#[test]
fn two_that_write_before_they_read_do_not_wait_for_each_other_at_a_byte_rate() {
    for config in in_every_way() {
        let does = Does {
            open: Box::new(|connection| connection.read_while_sending(true)),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        let mut client = connect_narrow(&probed.server);
        let bytes = noise(1, MUCH);
        client.write_all(&bytes).unwrap();
        assert!(receive(&mut client, bytes.len()) == bytes);
        let total = probed.server.stats().total();
        assert!(total.reads_delayed > 0, "no rate was reached");
        drop(client);
        probed.expect_nothing_left();
    }
}

#[test]
fn what_is_sent_in_every_way_arrives_in_order_and_sent_is_called_at_its_end() {
    let bytes = noise(2, MUCH / 4);
    let shared: Arc<[u8]> = bytes.clone().into();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let file = Arc::new(file);
    for config in in_every_way() {
        let probed = Probed::start(&config, Does::default());
        let mut client = connect(&probed.server);
        let handle = probed.opened();
        let id = handle.id();
        let (large, shared, file) = (bytes.clone(), shared.clone(), file.clone());
        let reading = thread::spawn({
            let length = 4 * bytes.len() + 10;
            move || receive(&mut client, length)
        });
        probed.on_shard(0, move |shard| {
            shard.send(id, b"first").unwrap();
            shard.send(id, &large).unwrap();
            shard.send_file(id, file, 0..large.len() as u64).unwrap();
            shard.send_shared(id, &shared).unwrap();
        });
        handle.send(&bytes).unwrap();
        handle.send(b"last.").unwrap();
        let expected = [b"first", &bytes[..], &bytes, &bytes, &bytes, b"last."].concat();
        assert!(reading.join().unwrap() == expected);
        probed.next(|event| matches!(event, Event::Sent(_)).then_some(()));
        assert!(probed.server.stats().total().writes_delayed > 0);
        probed.expect_nothing_left();
    }
}

/// Small sends of others come while a connection waits for its rate. Its service waits for `sent`.
#[test]
fn sent_is_called_whenever_others_sent_to_a_connection_that_waits_for_its_rate() {
    let probed = Probed::start(&rated(true, false), Does::default());
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all.len()
    });
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < 1500 * MS {
        let unsent = probed.on_shard(0, move |shard| {
            let _ = shard.send(id, &[1; 3000]).and_then(|()| shard.send(id, &[2; 200_000]));
            shard.unsent(id)
        });
        sent = sent.max(unsent);
    }
    // All sends are over: what is unsent now has an end, which is reported.
    let unsent = probed.on_shard(0, move |shard| shard.unsent(id));
    assert!(unsent > 0);
    let mut last = Vec::new();
    super::common::eventually("all is sent", || {
        last.extend(probed.events.try_iter());
        probed.on_shard(0, move |shard| shard.unsent(id)) == 0
    });
    last.extend(probed.events.try_iter());
    assert!(matches!(last.last(), Some(Event::Sent(_))), "{last:?}");
    probed.on_shard(0, move |shard| shard.close(id));
    assert!(reading.join().unwrap() > 3_000_000);
}

#[test]
fn pauses_and_ends_of_both_directions_do_not_hang_at_a_byte_rate() {
    for config in in_every_way() {
        let does = Does {
            receive: Box::new(|input, connection| {
                connection.send(input);
                let id = connection.id();
                match input[0] % 4 {
                    0 => connection.pause_for(MS),
                    1 => connection.continue_when_sent(),
                    2 => connection.shard().pause(id),
                    _ => {}
                }
                connection.start_timer(MS, 1);
                input.len()
            }),
            timer: Box::new(|connection| connection.read()),
            end: Box::new(|connection| {
                connection.send(b"the end");
                connection.end_output();
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        let client = connect(&probed.server);
        let bytes = noise(3, MUCH / 2);
        let mut writer = client.try_clone().unwrap();
        let written = bytes.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&written).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let all = read_to_end(client).unwrap();
        writing.join().unwrap();
        assert!(all == [&bytes[..], b"the end"].concat());
        assert_eq!(probed.closed().1, CloseReason::Closed);
        probed.expect_nothing_left();
    }
}

#[test]
fn a_drain_at_a_byte_rate_ends_once_all_is_sent() {
    let probed = Probed::start(
        &ServerConfig { drain: config(1).drain, ..rated(true, true) },
        Does { drain: Box::new(|connection| connection.send(b"bye")), ..Does::default() },
    );
    let client = connect(&probed.server);
    let handle = probed.opened();
    let bytes = noise(4, MUCH / 2);
    handle.send(&bytes).unwrap();
    let drained = thread::spawn(move || probed.server.drain().unwrap());
    let all = read_to_end(client).unwrap();
    let total = drained.join().unwrap().total();
    assert_eq!(total.errors.total(), 0);
    assert_eq!(all.len(), bytes.len() + 3);
}
