//! The life of a shard, its background job, and why connections are closed.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use socket2::SockRef;

use super::clients::{ask, config, connect, connect_narrow, in_every_mode, limited};
use super::common::{MS, eventually};
use super::probe::{Does, Event, Probed};
use evshard::server::{Background, CloseReason, Drain, Limits, ServerConfig};

#[test]
fn a_shard_starts_before_its_connections_drains_them_and_stops_after_them() {
    for config in in_every_mode(2) {
        let probed = Probed::start(&config, Does::default());
        let mut clients: Vec<_> = (0..6).map(|_| connect(&probed.server)).collect();
        for client in &mut clients {
            assert_eq!(ask(client, b"x"), b"x");
        }
        probed.server.drain().unwrap();
        let events: Vec<Event> = probed.events.iter().collect();
        for shard in 0..2 {
            let stages: Vec<u8> = events
                .iter()
                .filter_map(|event| match event {
                    Event::Started(index) => (*index == shard).then_some(0),
                    Event::Opened(handle) => (handle.id().shard() == shard).then_some(1),
                    Event::BeginDrain(index) => (*index == shard).then_some(2),
                    Event::Drained(id) => (id.shard() == shard).then_some(3),
                    Event::Closed(id, ..) => (id.shard() == shard).then_some(4),
                    Event::Stopped(index) => (*index == shard).then_some(5),
                    _ => None,
                })
                .collect();
            assert!(stages.is_sorted(), "{stages:?}");
            let count = |stage| stages.iter().filter(|other| **other == stage).count();
            assert_eq!((count(0), count(2), count(5)), (1, 1, 1));
            assert_eq!(count(1), count(4));
            assert_eq!(count(3), count(4));
        }
    }
}

#[test]
fn a_background_job_runs_while_connections_are_served_and_ends() {
    let parts = Arc::new(AtomicU64::new(0));
    let done = parts.clone();
    let does = Does {
        background: Box::new(move |shard| {
            let part = done.fetch_add(1, Ordering::Relaxed);
            // To start it again meanwhile changes nothing.
            shard.start_background();
            thread::sleep(MS / 10);
            if part < 5000 { Background::More } else { Background::Done }
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    probed.on_shard(0, |shard| {
        shard.start_background();
        shard.start_background();
    });
    let mut answered = 0;
    while parts.load(Ordering::Relaxed) < 5000 {
        assert_eq!(ask(&mut client, b"x"), b"x");
        answered += 1;
    }
    assert!(answered > 50, "connections waited: {answered}");
}

#[test]
fn a_background_job_is_over_when_it_says_so_and_after_a_panic() {
    let parts = Arc::new(AtomicU64::new(0));
    let done = parts.clone();
    let does = Does {
        background: Box::new(move |_| match done.fetch_add(1, Ordering::Relaxed) + 1 {
            10 => Background::Done,
            15 => panic!("it was asked to"),
            _ => Background::More,
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    for expected in [10, 15] {
        probed.on_shard(0, |shard| shard.start_background());
        eventually("it is over", || parts.load(Ordering::Relaxed) == expected);
        for _ in 0..10 {
            probed.on_shard(0, |_| ());
        }
        assert_eq!(parts.load(Ordering::Relaxed), expected);
    }
    assert_eq!(probed.server.stats().total().errors.panicked, 1);
}

#[test]
fn a_background_job_without_an_end_does_not_keep_a_drain() {
    let does = Does { background: Box::new(|_| Background::More), ..Does::default() };
    let probed = Probed::start(&config(2), does);
    probed.on_shard(0, |shard| shard.start_background());
    let mut client = connect(&probed.server);
    assert_eq!(ask(&mut client, b"x"), b"x");
    probed.server.drain().unwrap();
}

#[test]
fn a_service_learns_why_each_connection_is_closed() {
    let limits = Limits {
        buffer_bytes: 100_000,
        idle: Some(400 * MS),
        message: Some(200 * MS),
        ..Limits::default()
    };
    let does = Does {
        receive: Box::new(|input, connection| {
            match input[0] {
                b'p' => panic!("it was asked to"),
                b'a' => connection.abort(),
                b'c' => connection.close(),
                b's' => connection.send(&vec![0; 200_000_000]),
                b'i' => return 0,
                b'l' => return 0,
                _ => connection.send(input),
            }
            input.len()
        }),
        ..Does::default()
    };
    let drain = Drain { timeout: 100 * MS, ..Drain::default() };
    let probed = Probed::start(&ServerConfig { drain, ..limited(limits) }, does);
    let ways: [(&[u8], CloseReason); 7] = [
        (b"p", CloseReason::Panicked),
        (b"a", CloseReason::Aborted),
        (b"c", CloseReason::Closed),
        (b"s", CloseReason::TooLarge),
        (b"i", CloseReason::Message),
        (&[b'l'; 200_000], CloseReason::TooLarge),
        (b"x", CloseReason::Idle),
    ];
    for (sent, reason) in ways {
        let mut client = connect(&probed.server);
        let id = probed.opened().id();
        let _ = client.write_all(sent);
        assert_eq!(probed.closed(), (id, reason, 0), "{}", sent[0] as char);
    }
    // By the peer: in order, and by a reset.
    for (resets, reason) in [(false, CloseReason::Closed), (true, CloseReason::Broken)] {
        let client = connect(&probed.server);
        let _ = probed.opened();
        if resets {
            SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        } else {
            client.shutdown(Shutdown::Write).unwrap();
        }
        drop(client);
        assert_eq!(probed.closed().1, reason);
    }
    // By the drain: quiet, and paused until its timeout.
    let mut quiet = connect(&probed.server);
    let quiet_id = probed.opened().id();
    assert_eq!(ask(&mut quiet, b"x"), b"x");
    let _paused = connect_narrow(&probed.server);
    let paused_id = probed.opened().id();
    probed.on_shard(0, move |shard| shard.pause(paused_id));
    probed.server.drain().unwrap();
    let mut reasons = std::collections::HashMap::new();
    for event in &probed.events {
        if let Event::Closed(id, reason, _) = event {
            reasons.insert(id, reason);
        }
    }
    assert_eq!(reasons[&quiet_id], CloseReason::Drained);
    assert_eq!(reasons[&paused_id], CloseReason::Cut);
    assert_eq!(quiet.read(&mut [0]).unwrap(), 0);
}
