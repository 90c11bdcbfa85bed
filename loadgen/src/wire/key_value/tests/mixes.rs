//! Requests of several connections on the same keys, with a server that does what it must.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::exchange::KeyValueExchange;
use super::chi_square;
use super::client::{Client, PROTOCOLS, traffic};
use super::peer::{Command, Peer};
use crate::wire::{Outcome, Protocol, SLICE_BYTES_MAX, Traffic};

/// One action of one of three connections.
#[derive(Debug, Clone)]
enum Action {
    Send { new: usize, write_max: usize },
    Execute,
    Receive { read_max: usize },
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0_usize..4, 0_usize..300)
            .prop_map(|(new, write_max)| Action::Send { new, write_max }),
        8 => Just(Action::Execute),
        6 => (1_usize..300).prop_map(|read_max| Action::Receive { read_max }),
        1 => Just(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(test_inputs::config(400))]

    #[test]
    fn a_server_that_executes_one_after_the_other_is_never_wrong_however_the_bytes_are_cut(
        protocol in select(&PROTOCOLS),
        keys in select(&["1", "3"]),
        actions in prop::collection::vec((0_usize..3, action()), 1..120),
    ) {
        let traffic = traffic(protocol, "get:2,set:2,delete:1", keys, "uniform", "16..90");
        let mut peer = Peer::new(protocol);
        let mut clients = [0, 1, 2].map(|connection| Client::new(&traffic, connection));
        for (which, action) in actions {
            let client = &mut clients[which];
            match action {
                Action::Send { new, write_max } => client.send(new, write_max, &peer),
                Action::Execute => client.execute(&mut peer),
                Action::Receive { read_max } => client.receive(read_max).unwrap(),
                Action::Restart => client.restart(),
            }
        }
        for client in &mut clients {
            // The rest of a request, and a whole one.
            client.send(1, usize::MAX, &peer);
            (0..500).for_each(|_| client.execute(&mut peer));
            client.receive(usize::MAX).unwrap();
            prop_assert_eq!(client.outstanding, 0);
            let wrong = client.outcomes.iter().find(|outcome| {
                matches!(outcome, Outcome::Wrong { .. } | Outcome::Error { .. })
            });
            prop_assert_eq!(wrong, None);
        }
    }
}

#[test]
fn every_read_of_a_key_that_was_written_is_verified() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "get:1,set:1", "5", "uniform", "16..5000");
        let mut peer = Peer::new(protocol);
        let mut client = Client::new(&traffic, 0);
        let outcomes: Vec<Outcome> = (0..500).map(|_| client.ask(&mut peer)).collect();
        let count = |wanted: Outcome| outcomes.iter().filter(|one| **one == wanted).count();
        let verified = count(Outcome::Hit { is_verified: true });
        let misses = count(Outcome::Miss { was_written: false });
        assert_eq!(verified + misses + count(Outcome::Done), 500, "{protocol}");
        assert!(verified > 200 && misses < 20, "{protocol}: {verified}, {misses}");
    }
}

#[test]
fn a_request_depends_on_seed_connection_and_number_alone() {
    let requests = |order: &[u32]| {
        let traffic = traffic(Protocol::Resp2, "get:2,set:1", "1k", "zipf:0.99", "16..64");
        let peer = Peer::new(Protocol::Resp2);
        let mut of_two = Vec::new();
        for &connection in order {
            let mut client = Client::new(&traffic, connection);
            client.send(200, usize::MAX, &peer);
            let what = client.waiting.drain(..).map(|command| match command {
                Command::Get(key) => ("get", key, 0),
                Command::Set(key, value) => ("set", key, value.len()),
                Command::Delete(key) => ("delete", key, 0),
            });
            let what: Vec<_> = what.collect();
            if connection == 2 {
                of_two = what;
            }
        }
        of_two
    };
    let alone = requests(&[2]);
    assert_eq!(alone, requests(&[0, 2, 1]));
    assert_eq!(alone.len(), 200);
}

#[test]
fn commands_come_as_often_as_the_mix_says() {
    let traffic = traffic(Protocol::Resp2, "get:9,set:3,delete:1", "1k", "uniform", "16");
    let mut counts = [0; 3];
    for connection in 0..3 {
        let peer = Peer::new(Protocol::Resp2);
        let mut client = Client::new(&traffic, connection);
        for _ in 0..100 {
            client.send(100, usize::MAX, &peer);
            for command in client.waiting.drain(..) {
                counts[match command {
                    Command::Get(_) => 0,
                    Command::Set(..) => 1,
                    Command::Delete(_) => 2,
                }] += 1;
            }
        }
    }
    assert_eq!(counts.iter().sum::<u64>(), 30_000);
    chi_square::expect(&counts, &[9.0, 3.0, 1.0], "get:9,set:3,delete:1");
}

#[test]
fn the_connections_of_a_run_choose_different_keys() {
    let traffic = traffic(Protocol::Resp2, "get", "1M", "uniform", "16");
    let keys = |connection: u32| {
        let peer = Peer::new(Protocol::Resp2);
        let mut client = Client::new(&traffic, connection);
        client.send(100, usize::MAX, &peer);
        client.waiting
    };
    assert_ne!(keys(0), keys(1));
}

#[test]
fn a_long_value_is_sent_and_read_in_slices_and_never_stored() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "set:1,get:1", "1", "uniform", "1MiB");
        let mut peer = Peer::new(protocol);
        let mut client = Client::new(&traffic, 0);
        for _ in 0..6 {
            let (mut new, mut writes) = (1, 0);
            while client.outstanding == 0 || client.exchange.is_mid_request() {
                client.send(new, usize::MAX, &peer);
                new = 0;
                writes += 1;
            }
            assert!(writes == 1 || (9..=10).contains(&writes), "{protocol}: {writes}");
            client.execute(&mut peer);
            while client.outstanding > 0 {
                client.receive(100_001).unwrap();
            }
        }
        let are_right = client.outcomes.iter().all(|outcome| {
            matches!(outcome, Outcome::Done | Outcome::Hit { is_verified: true })
                || *outcome == Outcome::Miss { was_written: false }
        });
        assert!(are_right && client.outcomes.contains(&Outcome::Done), "{:?}", client.outcomes);
    }
}

#[test]
fn making_requests_and_reading_replies_allocates_nothing_after_a_while() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "get:1,set:1", "100", "zipf:0.99", "lognormal:100,0.5");
        let shared = traffic.key_value.as_ref().unwrap();
        let mut peer = Peer::new(protocol);
        let mut exchange = KeyValueExchange::new(shared, 0);
        let mut scratch = Vec::with_capacity(SLICE_BYTES_MAX);
        let mut allocations = 0;
        for turn in 0..300 {
            let sent = allocation_counter::measure(|| {
                exchange.assemble(&traffic, shared, 50, &mut scratch);
                assert_eq!(exchange.advance_sent(shared, scratch.len()), 50);
            });
            let mut stream = scratch.clone();
            let mut replies = Vec::new();
            while let Some(command) = peer.take_command(&mut stream) {
                replies.extend(peer.execute(command));
            }
            let received = allocation_counter::measure(|| {
                for piece in replies.chunks(37) {
                    exchange.verify_received(&traffic, shared, piece, |_| ()).unwrap();
                }
            });
            // The queues and the memory for lines in pieces have grown by then.
            if turn >= 100 {
                allocations += sent.count_total + received.count_total;
            }
        }
        assert_eq!(allocations, 0, "{protocol}");
    }
}

#[test]
fn keys_have_the_prefix_and_twelve_digits() {
    let traffic: Traffic = traffic(Protocol::MemcachedText, "get", "1", "uniform", "16");
    let peer = Peer::new(Protocol::MemcachedText);
    let mut client = Client::new(&traffic, 0);
    client.send(1, usize::MAX, &peer);
    assert_eq!(client.waiting, [Command::Get("k000000000000".to_owned())]);
}
