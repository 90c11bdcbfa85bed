//! Timers of connections and of shards.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{ask, config, connect};
use super::common::{MS, TEST_TIMEOUT, eventually};
use super::probe::{Does, Event, Probe, Probed};
use evshard::server::{Drain, ServerConfig, Shard, TimerId};

fn timer(probed: &Probed) -> u64 {
    probed.next(|event| match event {
        Event::Timer(_, token) | Event::ShardTimer(token) => Some(token),
        _ => None,
    })
}

#[test]
fn a_connection_has_many_timers_which_fire_once_each_and_in_order() {
    let does = Does {
        open: Box::new(|connection| {
            // Started in another order than they are due.
            for token in (0..200).rev() {
                connection.start_timer(50 * MS + MS * token as u32, token);
            }
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    assert_eq!(ask(&mut client, b"meanwhile"), b"meanwhile");
    for expected in 0..200 {
        assert_eq!(timer(&probed), expected);
    }
    thread::sleep(50 * MS);
    assert!(!probed.events.try_iter().any(|event| matches!(event, Event::Timer(..))));
}

#[test]
fn a_timer_that_is_cancelled_does_not_fire_and_a_stale_id_reaches_no_other() {
    let probed = Probed::start(&config(1), Does::default());
    probed.on_shard(0, |shard| {
        // All are due together, so the one that fires finds the others due, too.
        let ids: Vec<_> = (0..100).map(|token| shard.start_timer(20 * MS, token)).collect();
        for id in &ids[10..] {
            assert!(shard.cancel_timer(*id));
            assert!(!shard.cancel_timer(*id), "it has ended");
        }
        let again: Vec<_> = (200..290).map(|token| shard.start_timer(20 * MS, token)).collect();
        assert!(ids[10..].iter().all(|id| !shard.cancel_timer(*id)));
        assert!(again.iter().all(|id| !ids.contains(id)));
    });
    let mut tokens: Vec<u64> = (0..100).map(|_| timer(&probed)).collect();
    tokens.sort_unstable();
    let expected: Vec<u64> = (0..10).chain(200..290).collect();
    assert_eq!(tokens, expected);
}

#[test]
fn a_timer_cancels_those_that_are_due_with_it() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let others = ids.clone();
    let does = Does {
        shard_timer: Box::new(move |shard| {
            for id in others.lock().unwrap().drain(..) {
                shard.cancel_timer(id);
            }
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    probed.on_shard(0, move |shard| {
        let mut ids = ids.lock().unwrap();
        for token in 0..50 {
            ids.push(shard.start_timer(20 * MS, token));
        }
        // All are due when the loop looks again.
        thread::sleep(40 * MS);
    });
    assert_eq!(timer(&probed), 0);
    probed.on_shard(0, |_| ());
    thread::sleep(50 * MS);
    assert!(!probed.events.try_iter().any(|event| matches!(event, Event::ShardTimer(_))));
}

#[test]
fn timers_end_with_their_connection() {
    let does = Does {
        open: Box::new(|connection| {
            for token in 0..20 {
                connection.start_timer(100 * MS, token);
            }
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(2), does);
    let mut closed = 0;
    for round in 0..100 {
        let mut client = connect(&probed.server);
        if round % 2 == 0 {
            assert_eq!(ask(&mut client, b"x"), b"x");
        }
    }
    // Those of the last connections would be due long before this.
    let deadline = Instant::now() + TEST_TIMEOUT;
    let mut gone = std::collections::HashSet::new();
    while closed < 100 && Instant::now() < deadline {
        match probed.events.recv_timeout(TEST_TIMEOUT).unwrap() {
            Event::Closed(id, ..) => {
                gone.insert(id);
                closed += 1;
            }
            Event::Timer(id, _) => assert!(!gone.contains(&id), "its connection is closed"),
            _ => {}
        }
    }
    thread::sleep(200 * MS);
    for event in probed.events.try_iter() {
        assert!(!matches!(event, Event::Timer(..)), "{event:?}");
    }
}

#[test]
fn the_id_of_a_timer_names_none_on_another_shard_and_none_after_its_connection() {
    let (started, timers) = channel();
    let started = Mutex::new(started);
    let does = Does {
        open: Box::new(move |connection| {
            let timer = connection.start_timer(TEST_TIMEOUT, 0);
            started.lock().unwrap().send((connection.id().shard(), timer)).unwrap();
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(2), does);
    // Both shards start their timers alike.
    let ids: Vec<Vec<TimerId>> = (0..2)
        .map(|shard| {
            probed.on_shard(shard, |shard| {
                (0..50).map(|token| shard.start_timer(TEST_TIMEOUT, token)).collect()
            })
        })
        .collect();
    let clients: Vec<_> = (0..10).map(|_| connect(&probed.server)).collect();
    let of_connections: Vec<(usize, TimerId)> =
        (0..10).map(|_| timers.recv_timeout(TEST_TIMEOUT).unwrap()).collect();
    for shard in 0..2 {
        let others = ids[1 - shard].clone();
        let of_others = of_connections.iter().filter(|(of, _)| *of != shard);
        let others: Vec<_> = others.into_iter().chain(of_others.map(|(_, id)| *id)).collect();
        let cancelled = move |shard: &mut Shard<'_, Probe>| {
            others.into_iter().filter(|id| shard.cancel_timer(*id)).count()
        };
        assert_eq!(probed.on_shard(shard, cancelled), 0, "they are of the other shard");
    }
    drop(clients);
    for _ in 0..10 {
        probed.closed();
    }
    for (shard, timer) in of_connections {
        assert!(!probed.on_shard(shard, move |shard| shard.cancel_timer(timer)), "it has ended");
    }
    for (shard, own) in ids.into_iter().enumerate() {
        let cancelled = move |shard: &mut Shard<'_, Probe>| {
            own.into_iter().filter(|id| shard.cancel_timer(*id)).count()
        };
        assert_eq!(probed.on_shard(shard, cancelled), 50);
    }
}

#[test]
fn no_timer_fires_after_the_stop_of_its_shard() {
    let does = Does {
        start: Box::new(|shard| {
            for token in 0..100 {
                shard.start_timer(MS * token as u32, token);
            }
        }),
        shard_timer: Box::new(|shard| {
            shard.start_timer(MS, 1000);
        }),
        ..Does::default()
    };
    let drain = Drain { timeout: 100 * MS, ..Drain::default() };
    let probed = Probed::start(&ServerConfig { drain, ..config(2) }, does);
    let _client = connect(&probed.server);
    thread::sleep(30 * MS);
    probed.server.drain().unwrap();
    let events: Vec<Event> = probed.events.iter().collect();
    let mut stopped = 0;
    for event in &events {
        match event {
            Event::Stopped(_) => stopped += 1,
            Event::ShardTimer(_) => assert!(stopped < 2, "it fired after both have stopped"),
            _ => {}
        }
    }
    assert_eq!(stopped, 2);
}

/// Equal durations, which share a queue of the base, and random ones, which have a heap.
#[test]
fn a_thousand_timers_of_equal_and_random_durations_are_never_early_and_none_is_lost() {
    let probed = Probed::start(&config(1), Does::default());
    let started = probed.on_shard(0, |shard| {
        let mut started = HashMap::new();
        let mut random = 12345_u64;
        for token in 0..1000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1442);
            let after = if token % 2 == 0 { 200 * MS } else { 5 * MS * (random >> 58) as u32 };
            let began = Instant::now();
            let id = shard.start_timer(after, token);
            if token % 5 == 0 {
                assert!(shard.cancel_timer(id));
            } else {
                started.insert(token, began + after);
            }
        }
        started
    });
    let mut left = started;
    while !left.is_empty() {
        let token = timer(&probed);
        let due = left.remove(&token).expect("it fired twice, or was cancelled");
        // A timer runs from the beginning of its turn, in which a busy machine may do others' work.
        assert!(Instant::now() + 50 * MS >= due, "{token} is early");
    }
}

#[test]
fn a_timer_of_no_time_and_one_of_all_time_are_as_others() {
    let probed = Probed::start(&config(1), Does::default());
    let endless = probed.on_shard(0, |shard| {
        shard.start_timer(Duration::ZERO, 1);
        let ids: Vec<_> = (0..20).map(|_| shard.start_timer(Duration::MAX, 2)).collect();
        ids
    });
    assert_eq!(timer(&probed), 1);
    thread::sleep(20 * MS);
    assert!(probed.events.try_recv().is_err());
    let cancelled = probed
        .on_shard(0, move |shard| endless.into_iter().filter(|id| shard.cancel_timer(*id)).count());
    assert_eq!(cancelled, 20);
}

/// A timer does not stop the reading of its connection, also while that pauses or sends.
#[test]
fn timers_fire_while_their_connection_pauses() {
    let does = Does {
        open: Box::new(|connection| {
            connection.start_timer(MS, 0);
            connection.pause();
        }),
        timer: Box::new(|connection| {
            connection.start_timer(MS, 1);
            connection.send(b"tick");
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    for _ in 0..20 {
        assert_eq!(super::clients::receive(&mut client, 4), b"tick");
    }
    drop(client);
    eventually("it is closed", || {
        // A paused connection learns of its peer's end when it sends.
        probed.server.stats().total().open == 0
    });
}
