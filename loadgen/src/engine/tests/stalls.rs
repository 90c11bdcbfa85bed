//! A server or a loader that stands still for a while: the percentile curve is known beforehand.

use super::simulation::{Queue, Simulation};
use super::{MS, S, at, expect_within, simulate};
use crate::latency::{Distribution, P50, P90, P99, P999};

/// A server that takes no time, but for a while does nothing.
fn frozen(from_ns: u64, to_ns: u64) -> Simulation {
    Simulation::new(Queue::new(64, move |_, begins_ns| {
        if (from_ns..to_ns).contains(&begins_ns) { to_ns } else { begins_ns }
    }))
}

/// Frozen for `S` of a run of `D`: a share `S/D` of the requests waits between 0 and `S`, evenly.
fn stalled_quantile(quantile: f64, stall_s: f64, run_s: f64) -> f64 {
    let share = stall_s / run_s;
    1e9 * stall_s * (quantile - (1.0 - share)) / share
}

#[test]
fn a_frozen_server_shows_in_the_response_times_exactly_as_calculated() {
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 100s -c 1 --timeout 20s",
        frozen(40 * S, 50 * S),
    );
    let response = &found.latencies[Distribution::Response];
    assert_eq!(response.count(), 100_000);
    assert!(response.percentile_ns(P50).unwrap() <= 1);
    expect_within(0.002, at(response, P99), stalled_quantile(0.99, 10.0, 100.0));
    expect_within(0.002, at(response, P999), stalled_quantile(0.999, 10.0, 100.0));
    assert_eq!(response.max_ns(), Some(10 * S));
    // 90 % wait not at all; one in a thousand more, and the wait is 0.1 s.
    assert!(response.percentile_ns(P90).unwrap() <= 20 * MS);
}

#[test]
fn with_one_request_outstanding_the_service_times_hide_the_stall_and_the_response_times_do_not() {
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 100s -c 4 --pipeline 1 \
         --timeout 20s",
        frozen(40 * S, 50 * S),
    );
    let service = &found.latencies[Distribution::Service];
    let slow: u64 = service.buckets().filter(|(ns, _)| *ns > S).map(|(_, count)| count).sum();
    assert_eq!(slow, 4, "one for each connection");
    assert!(service.percentile_ns(P999).unwrap() <= 1);
    expect_within(0.002, at(&found.latencies[Distribution::Response], P99), 9e9);
    // The rest of the wait was the connection's, not the loader's.
    assert_eq!(found.latencies[Distribution::LoaderLate].max_ns(), Some(0));
    assert_eq!(found.latencies[Distribution::Blocked].count(), 10_000 - 4);
}

#[test]
fn a_closed_loop_sees_one_slow_request_for_each_connection() {
    let world = Simulation::new(Queue::new(64, move |_, begins_ns| {
        if (40 * S..50 * S).contains(&begins_ns) { 50 * S } else { begins_ns + MS }
    }));
    let found = simulate("--warmup 0s --duration 100s -c 1 --timeout 20s", world);
    let service = &found.latencies[Distribution::Service];
    let slow: u64 = service.buckets().filter(|(ns, _)| *ns > S).map(|(_, count)| count).sum();
    assert_eq!((slow, found.latencies[Distribution::Response].count()), (1, 0));
    expect_within(0.001, at(service, P999), 1e6);
}

#[test]
fn a_loader_that_wakes_up_late_is_late_and_the_service_times_are_not_touched() {
    let mut last_ns = 0;
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 100))
        // Once a second the loader is away for 50 ms.
        .oversleeping(move |now_ns| {
            if now_ns / S == last_ns / S {
                return 0;
            }
            last_ns = now_ns;
            50 * MS
        });
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 50s -c 100 --timeout 20s",
        world,
    );
    let late = &found.latencies[Distribution::LoaderLate];
    // 50 of 1,000 requests a second are due in the gap, and wait 0 to 50 ms.
    expect_within(0.05, at(late, P99), 40e6);
    assert_eq!(found.latencies[Distribution::Lateness].max_ns(), late.max_ns());
    assert_eq!(found.latencies[Distribution::Blocked].count(), 0);
    assert!(found.latencies[Distribution::Service].percentile_ns(P90).unwrap() <= MS / 99);
    assert!(found.latencies[Distribution::Response].max_ns().unwrap() >= 50 * MS);
}

/// Makes the loader stand still for `length_ns` in the first wait after `at_ns`.
fn standing_still(world: Simulation, at_ns: u64, length_ns: u64) -> Simulation {
    let mut done = false;
    world.oversleeping(move |now_ns| {
        let now = now_ns >= at_ns && !done;
        done |= now;
        if now { length_ns } else { 0 }
    })
}

#[test]
fn a_closed_loop_that_stood_still_does_not_charge_the_server() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 10));
    let world = standing_still(world, 5 * S + S / 2, 200 * MS);
    let found = simulate("--warmup 1s --duration 10s -c 4 --timeout 20s", world);
    let service = &found.latencies[Distribution::Service];
    let slow: u64 = service.buckets().filter(|(ns, _)| *ns > 100 * MS).map(|(_, n)| n).sum();
    let stalled = &found.latencies[Distribution::Stalled];
    assert_eq!((slow, stalled.count()), (4, 4), "what was outstanding, and nothing else");
    // A stall can begin with a reply that would have ended the wait before the heartbeat.
    assert!((199 * MS..=200 * MS).contains(&stalled.max_ns().unwrap()));
    let stalls = found.recorded.stalls;
    assert_eq!((stalls.count, stalls.sum_ns), (1, stalls.longest_ns));
    assert_eq!(stalled.max_ns(), Some(stalls.longest_ns));
    let by_interval: Vec<f64> =
        found.intervals.iter().map(|interval| interval.loader_stalled_s).collect();
    assert_eq!(by_interval.iter().filter(|&&stalled_s| stalled_s > 0.0).count(), 1);
    expect_within(0.01, by_interval[5], 0.2);
}

#[test]
fn a_server_that_stands_still_is_no_stall_of_the_loader() {
    for flags in ["", "--rate 1000", "--rate 1000 --pipeline 1"] {
        let flags = format!("{flags} --warmup 0s --duration 5s -c 4 --timeout 20s");
        let world = Simulation::new(Queue::new(64, |_, begins_ns| {
            if (S..2 * S).contains(&begins_ns) { 2 * S } else { begins_ns + MS / 10 }
        }));
        let found = simulate(&flags, world);
        assert!(found.latencies[Distribution::Service].max_ns().unwrap() >= S - 10 * MS);
        assert_eq!(found.recorded.stalls.count, 0, "{flags}");
        assert_eq!(found.latencies[Distribution::Stalled].count(), 0, "{flags}");
    }
}

#[test]
fn requests_that_are_due_in_a_stall_are_late_by_the_loader_although_a_reply_was_missing() {
    // The reply that would have freed the only connection was there, but the loader did not read.
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 2));
    let world = standing_still(world, 2 * S + MS / 4, 50 * MS);
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 4s -c 1 --pipeline 1 --timeout 20s",
        world,
    );
    let late_ns = found.latencies[Distribution::LoaderLate].max_ns().unwrap();
    assert!((48 * MS..=50 * MS).contains(&late_ns), "{late_ns}");
    assert_eq!(found.latencies[Distribution::Stalled].count(), 1);
}

#[test]
fn a_stall_in_the_warm_up_counts_only_as_far_as_it_reaches_into_the_window() {
    let world = |at_ns| {
        let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 10));
        standing_still(world, at_ns, 400 * MS)
    };
    let found = |at_ns| simulate("--warmup 1s --duration 2s -c 2 --timeout 20s", world(at_ns));
    assert_eq!(found(S / 2).recorded.stalls.count, 0);
    let reaching = found(8 * S / 10);
    assert_eq!(reaching.recorded.stalls.count, 1);
    expect_within(0.01, reaching.recorded.stalls.sum_ns as f64, 200e6);
    assert_eq!(reaching.latencies[Distribution::Stalled].count(), 0, "they are not measured");
}

#[test]
fn a_thread_that_is_held_up_while_it_works_stalls_too() {
    let world =
        Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 10)).reading_for(2 * MS);
    let found = simulate("--warmup 0s --duration 1s -c 1 --timeout 20s", world);
    let measured = found.recorded.counters.measured;
    assert_eq!(found.latencies[Distribution::Stalled].count(), measured);
    assert_eq!(found.latencies[Distribution::Stalled].min_ns(), Some(2 * MS));
}

#[test]
fn many_replies_at_once_do_not_hold_up_requests_whose_time_has_come() {
    // When the server goes on, 200 connections have replies, and to read one takes 50 us.
    let world = frozen(S, 2 * S).reading_for(MS / 20);
    let found = simulate(
        "--rate 2000 --arrival constant --warmup 0s --duration 3s -c 200 --timeout 20s",
        world,
    );
    assert!(found.latencies[Distribution::Response].max_ns().unwrap() >= S);
    let late_ns = found.latencies[Distribution::LoaderLate].max_ns().unwrap();
    assert!(late_ns <= MS / 10, "{late_ns} ns late, behind {} replies", 200);
}

#[test]
fn the_sends_of_a_punctual_loader_follow_the_schedule_to_the_nanosecond() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 10_000));
    let found = simulate("--rate 20k --warmup 1s --duration 5s -c 50", world);
    assert_eq!(found.latencies[Distribution::Lateness].max_ns(), Some(0));
    assert!(found.recorded.gaps.len() > 1_000);
    assert!(found.recorded.gaps.iter().all(|(intended, actual)| intended == actual));
}
