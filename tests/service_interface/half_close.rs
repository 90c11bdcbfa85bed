//! One direction ends before the other.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use super::clients::{MUCH, config, connect, connect_narrow, receive, roomy};
use super::common::{TEST_TIMEOUT, eventually, noise, read_to_end};
use super::probe::{Does, Event, Probed};
use evshard::server::CloseReason;

#[test]
fn what_a_service_sends_after_the_end_of_its_output_is_discarded_and_it_goes_on_receiving() {
    let does = Does {
        open: Box::new(|connection| {
            connection.send(b"all of it");
            connection.end_output();
            connection.send(b"too late");
        }),
        // An echo: each is sent after the end.
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"all of it");
    for part in 0..5_u64 {
        client.write_all(&[1; 1000]).unwrap();
        let received = 1000 * (part + 1);
        eventually("it is received", || probed.server.stats().total().bytes_in == received);
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(probed.closed().1, CloseReason::Closed);
    probed.expect_nothing_left();
}

#[test]
fn output_that_is_pending_is_sent_before_the_end_of_the_output() {
    let bytes = noise(1, MUCH);
    let sent = bytes.clone();
    let does = Does {
        open: Box::new(move |connection| {
            connection.send(&sent);
            connection.end_output();
        }),
        ..Does::default()
    };
    let probed = Probed::start(&roomy(), does);
    let mut client = connect_narrow(&probed.server);
    let id = probed.opened().id();
    let unsent = probed.on_shard(0, move |shard| shard.unsent(id));
    assert!(unsent > 0, "the client takes all of it at once");
    assert!(receive(&mut client, bytes.len()) == bytes);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(b"heard").unwrap();
    eventually("the other direction is open", || probed.server.stats().total().bytes_in == 5);
    drop(client);
    assert_eq!(probed.closed().1, CloseReason::Closed);
    probed.expect_nothing_left();
}

#[test]
fn the_end_of_a_peer_is_passed_once_while_output_is_pending() {
    let does = Does {
        open: Box::new(|connection| connection.read_while_sending(true)),
        receive: Box::new(|input, connection| {
            connection.send(&vec![7; MUCH]);
            input.len()
        }),
        end: Box::new(|_| {}),
        ..Does::default()
    };
    let probed = Probed::start(&roomy(), does);
    let mut client = connect_narrow(&probed.server);
    client.write_all(b"x").unwrap();
    eventually("output is pending", || probed.server.stats().buffer_bytes > 0);
    client.shutdown(Shutdown::Write).unwrap();
    probed.next(|event| matches!(event, Event::End(_)).then_some(()));
    // The client reads slowly: the server has many turns meanwhile.
    let mut read = 0;
    let mut bytes = [0; 100_000];
    let start = Instant::now();
    while read < MUCH {
        read += client.read(&mut bytes).unwrap();
        assert!(start.elapsed() < TEST_TIMEOUT);
    }
    assert_eq!(read_to_end(client).unwrap(), b"");
    let mut ends = 0;
    let reason = probed.next(|event| match event {
        Event::End(_) => {
            ends += 1;
            None
        }
        Event::Closed(_, reason, _) => Some(reason),
        _ => None,
    });
    assert_eq!((ends, reason), (0, CloseReason::Closed));
    probed.expect_nothing_left();
}

/// A relay: the end of each side is passed to the other, which still sends.
#[test]
fn a_connection_whose_peer_has_ended_is_sent_to_until_its_service_closes_it() {
    let does = Does { end: Box::new(|connection| connection.pause()), ..Does::default() };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    client.shutdown(Shutdown::Write).unwrap();
    probed.next(|event| matches!(event, Event::End(of) if of == id).then_some(()));
    for part in 0..20_u8 {
        probed.on_shard(0, move |shard| shard.send(id, &[part; 10_000]).unwrap());
        assert_eq!(receive(&mut client, 10_000), [part; 10_000]);
    }
    probed.on_shard(0, move |shard| shard.close(id));
    assert_eq!(read_to_end(client).unwrap(), b"");
    assert_eq!(probed.closed(), (id, CloseReason::Closed, 0));
    probed.expect_nothing_left();
}
