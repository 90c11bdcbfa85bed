//! Servers that do not answer, answer wrongly, or go away: every request is accounted for.

use proptest::prelude::*;

use super::simulation::{Queue, SimulatedReply, SimulatedServer, Simulation};
use super::{MS, S, simulate};
use crate::latency::{Distribution, P50};
use crate::record::LatenciesRecord;

#[test]
fn requests_that_are_never_answered_are_censored_and_bound_the_percentiles_from_below() {
    // The last 100 of 10,000 requests, one a millisecond, get no reply within the drain.
    let world = Simulation::new(Queue::new(64, |k, begins_ns| {
        if k < 9_900 { begins_ns + MS / 10 } else { begins_ns + 1_000 * S }
    }));
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 10s -c 1 --drain 2s --timeout 30s",
        world,
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.censored, counters.unsent), (9_900, 100, 0));
    let record = LatenciesRecord::from(&found.latencies).response;
    assert_eq!((record.count, record.censored), (10_000, 100));
    // The youngest of them was waited for through the drain, the oldest 99 ms longer.
    assert_eq!(found.latencies[Distribution::Unanswered].min_ns(), Some(2 * S + MS));
    assert_eq!(record.max, Some(2 * S + 100 * MS));
    assert!(record.p99.unwrap() <= MS / 10 + MS / 1_000);
    assert!(record.p999.unwrap() >= 2 * S + MS);
    let bounds: Vec<&String> = record.at_most.keys().collect();
    assert_eq!(bounds, ["max", "mean", "p999"], "{:?}", record.at_most);
}

#[test]
fn requests_that_could_not_be_sent_are_counted_with_their_age() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 1_000 * S));
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 1s -c 1 --pipeline 1 --drain 1s \
         --timeout 30s",
        world,
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.sent, counters.censored, counters.unsent), (1, 1, 999));
    assert_eq!((counters.unsent_blocked, counters.unsent_unconnected), (999, 0));
    assert_eq!(found.latencies[Distribution::Unanswered].count(), 1_000);
    assert_eq!(found.latencies[Distribution::Unanswered].max_ns(), Some(2 * S));
    assert!(found.latencies[Distribution::Unanswered].percentile_ns(P50).unwrap() > 1_490 * MS);
}

#[test]
fn requests_of_connections_that_are_refused_are_not_the_loader_s_to_send() {
    // The server ends after two of four seconds.
    struct Ending;
    impl SimulatedServer for Ending {
        fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
            vec![if now_ns < 2 * S {
                SimulatedReply::Bytes { at_ns: now_ns + 1_000, bytes: bytes.to_vec() }
            } else {
                SimulatedReply::Close { at_ns: now_ns + 1_000 }
            }]
        }
    }
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 4s -c 10 --drain 100ms",
        Simulation::new(Ending).refusing_from(2 * S),
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.failed, counters.unsent), (2_000, 10, 1_990));
    assert_eq!((counters.unsent_unconnected, counters.unsent_blocked), (1_990, 0));
    assert!(counters.connect_failures >= 10, "{counters:?}");
    assert_eq!(counters.connects_refused, counters.connect_failures);
    assert_eq!(found.latencies[Distribution::LoaderLate].max_ns(), Some(0));
}

#[test]
fn a_silent_connection_is_given_up_after_the_timeout_and_replaced() {
    // Request 500 stops its connection for ever; the others go on.
    struct Deaf {
        seen: u64,
    }
    impl SimulatedServer for Deaf {
        fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
            self.seen += 1;
            match self.seen {
                500 => Vec::new(),
                _ => vec![SimulatedReply::Bytes { at_ns: now_ns + 1_000, bytes: bytes.to_vec() }],
            }
        }
    }
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 5s -c 10 --pipeline 1 \
         --timeout 500ms",
        Simulation::new(Deaf { seen: 0 }),
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.timeouts, counters.timed_out, counters.unsent), (1, 1, 0));
    assert_eq!((counters.connects, counters.completed), (11, 4_999));
    assert!(
        (500 * MS..=560 * MS)
            .contains(&found.latencies[Distribution::Unanswered].max_ns().unwrap())
    );
}

#[test]
fn a_server_that_falls_silent_is_noticed_although_requests_still_go_out() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| {
        if begins_ns < S { begins_ns + 1_000 } else { begins_ns + 1_000 * S }
    }));
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 3s -c 1 --timeout 500ms",
        world,
    );
    let counters = &found.recorded.counters;
    assert!(counters.timeouts >= 3, "{counters:?}");
    assert_eq!((counters.completed, counters.failed), (1_000, 0));
}

/// Does what a list says, one entry for each write, and echoes when the list is over.
struct Moody {
    moods: Vec<Mood>,
    seen: usize,
}

#[derive(Debug, Clone, Copy)]
enum Mood {
    Echo,
    Late,
    Silent,
    Close,
    Half,
    Corrupt,
    Extra,
}

impl SimulatedServer for Moody {
    fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
        let mood = self.moods.get(self.seen).copied().unwrap_or(Mood::Echo);
        self.seen += 1;
        let at_ns = now_ns + 50_000;
        let mut bytes = bytes.to_vec();
        match mood {
            Mood::Echo => vec![SimulatedReply::Bytes { at_ns, bytes }],
            Mood::Late => vec![SimulatedReply::Bytes { at_ns: now_ns + 40 * MS, bytes }],
            Mood::Silent => Vec::new(),
            Mood::Close => vec![SimulatedReply::Close { at_ns }],
            Mood::Half => {
                bytes.truncate(bytes.len() / 2);
                vec![SimulatedReply::Bytes { at_ns, bytes }, SimulatedReply::Close { at_ns }]
            }
            Mood::Corrupt => {
                bytes[7] ^= 1;
                vec![SimulatedReply::Bytes { at_ns, bytes }]
            }
            Mood::Extra => {
                bytes.push(0);
                vec![SimulatedReply::Bytes { at_ns, bytes }]
            }
        }
    }
}

#[test]
fn a_server_that_only_closes_is_not_hammered_with_connects() {
    let moods = vec![Mood::Close; 100_000];
    let world = Simulation::new(Moody { moods, seen: 0 });
    let found = simulate("--warmup 0s --duration 2s -c 1 --timeout 500ms", world);
    // 10 ms, 20 ms, 40 ms, ... up to a second apart.
    assert!((6..=9).contains(&found.recorded.counters.connects), "{:?}", found.recorded.counters);
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Echo),
        1 => Just(Mood::Late),
        1 => Just(Mood::Silent),
        1 => Just(Mood::Close),
        1 => Just(Mood::Half),
        1 => Just(Mood::Corrupt),
        1 => Just(Mood::Extra),
    ]
}

proptest! {
    #![proptest_config(test_inputs::config(64))]
    #[test]
    fn whatever_the_server_does_no_request_is_lost(
        moods in prop::collection::vec(mood(), 0..60),
        open: bool,
        pipeline in 1_u32..5,
        churn in prop::option::of(1_u64..5),
    ) {
        let rate = if open { "--rate 300" } else { "" };
        let churn = churn.map_or(String::new(), |requests| format!("--churn {requests}"));
        let flags = format!(
            "{rate} --warmup 100ms --duration 300ms -c 3 --pipeline {pipeline} {churn} \
             --timeout 50ms --drain 100ms"
        );
        // `simulate` checks the law of conservation itself.
        let found = simulate(&flags, Simulation::new(Moody { moods, seen: 0 }));
        let counters = &found.recorded.counters;
        let unanswered = counters.in_window - counters.measured;
        if open {
            prop_assert_eq!(found.latencies[Distribution::Unanswered].count(), unanswered);
            prop_assert_eq!(found.latencies[Distribution::Response].count(), counters.measured);
        }
        prop_assert_eq!(found.latencies[Distribution::Service].count(), counters.measured);
        let of_intervals: u64 = found.intervals.iter().map(|interval| interval.completed).sum();
        prop_assert_eq!(of_intervals, counters.completed);
    }
}
