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
