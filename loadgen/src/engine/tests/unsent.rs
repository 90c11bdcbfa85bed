//! Requests that could not be sent, of which there may be billions.

use super::simulation::{Queue, Simulation};
use super::{S, simulate};
use crate::latency::{Distribution, P50};

/// A server that answers nothing.
fn mute() -> Simulation {
    Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 1_000 * S))
}

#[test]
fn billions_of_unsent_requests_of_a_constant_rate_are_counted_exactly_and_at_once() {
    let found = simulate(
        "--rate 1000M --arrival constant --warmup 1s --duration 3s --drain 1s --timeout 30s -c 7 \
         --pipeline 2",
        mute(),
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.scheduled, counters.sent), (4_000_000_000, 14));
    assert_eq!((counters.in_window, counters.unsent_estimated), (3_000_000_000, 0));
    let unanswered = &found.latencies[Distribution::Unanswered];
    assert_eq!(unanswered.count(), 3_000_000_000);
    // They are as old as the drain is long, up to the drain and the window.
    let p50_s = unanswered.percentile_ns(P50).unwrap() as f64 / S as f64;
    assert!((p50_s - 2.5).abs() < 0.01, "{p50_s}");
    let (least_s, most_s) = (unanswered.min_ns().unwrap() / S, unanswered.max_ns().unwrap() / S);
    assert_eq!((least_s, most_s), (1, 3));
}

#[test]
fn billions_of_unsent_requests_at_random_times_are_an_estimate_that_is_called_one() {
    let found = simulate(
        "--rate 1000M --warmup 1s --duration 3s --drain 1s --timeout 30s -c 7 --pipeline 2",
        mute(),
    );
    let counters = &found.recorded.counters;
    assert!(counters.scheduled.abs_diff(4_000_000_000) < 100, "{counters:?}");
    assert!(counters.in_window.abs_diff(3_000_000_000) < 100, "{counters:?}");
    assert_eq!(counters.unsent_estimated, counters.unsent);
}
