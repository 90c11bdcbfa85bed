//! Queues whose waiting times are theorems.

use super::simulation::{Queue, Simulation};
use super::{MS, S, at, expect_within, simulate};
use crate::latency::{Distribution, P50, P90, P99, P999};
use crate::schedule::random;

/// A server that takes the same time for each request.
fn constant(service_ns: u64) -> Simulation {
    Simulation::new(Queue::new(64, move |_, begins_ns| begins_ns + service_ns))
}

#[test]
fn a_server_faster_than_the_rate_answers_everything_in_its_service_time() {
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 10s -c 7",
        constant(600_000),
    );
    for latency in
        [&found.latencies[Distribution::Response], &found.latencies[Distribution::Service]]
    {
        assert_eq!((latency.min_ns(), latency.max_ns()), (Some(600_000), Some(600_000)));
    }
    assert_eq!(found.latencies[Distribution::Response].count(), 10_000);
}

#[test]
fn a_server_slower_than_the_rate_gets_later_by_the_difference_with_each_request() {
    // Response k is c + k (c - d), with c = 1.2 ms and d = 1 ms.
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 10s -c 1 --pipeline 65536 \
         --timeout 20s",
        constant(1_200_000),
    );
    let response = &found.latencies[Distribution::Response];
    assert_eq!(response.count(), 10_000);
    assert_eq!(response.min_ns(), Some(1_200_000));
    assert_eq!(response.max_ns(), Some(1_200_000 + 9_999 * 200_000));
    assert_eq!(response.mean_ns(), Some(1_200_000 + 9_999 * 100_000));
    expect_within(0.002, at(response, P90), 1_200_000.0 + 8_999.0 * 200_000.0);
    // In the steps of a second it grows by a fifth of a second each.
    let p50 = |second: usize| found.intervals[second].p50_ns.unwrap() as f64;
    expect_within(0.02, p50(8) - p50(3), 5.0 * 200.0 * MS as f64 / 1.2);
    assert!(found.intervals[8].outstanding > found.intervals[3].outstanding);
}

#[test]
fn a_backlog_of_unsent_requests_counts_like_one_of_sent_ones() {
    // The same queue, but it waits in the loader: one request is outstanding.
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 10s -c 1 --pipeline 1 --timeout 20s",
        constant(1_200_000),
    );
    assert_eq!(found.latencies[Distribution::Response].max_ns(), Some(1_200_000 + 9_999 * 200_000));
    assert_eq!(found.latencies[Distribution::Service].max_ns(), Some(1_200_000));
    assert_eq!(found.latencies[Distribution::LoaderLate].max_ns(), Some(0));
    assert!(found.intervals[8].backlog > found.intervals[3].backlog + 700);
}

#[test]
fn the_achieved_rate_of_an_overloaded_server_is_its_capacity_whatever_the_drain() {
    // 20,000 requests/s are offered to a server that can do 5,000/s.
    for drain in ["100ms", "2s", "5s", "20s"] {
        let flags = "--rate 20k --warmup 1s --duration 2s -c 64 --pipeline 1 --timeout 60s";
        let found = simulate(&format!("{flags} --drain {drain}"), constant(200_000));
        let counters = &found.recorded.counters;
        expect_within(0.001, counters.answered_in_window as f64, 10_000.0);
        expect_within(0.001, counters.bytes_sent_in_window as f64, 64.0 * 10_000.0);
        assert_eq!(counters.answered_after_window > 0, drain != "100ms");
    }
}

#[test]
fn a_run_without_backlog_achieves_the_offered_rate() {
    let found = simulate("--rate 1000 --warmup 1s --duration 10s -c 7", constant(600_000));
    let counters = &found.recorded.counters;
    let achieved = counters.answered_in_window as f64 / counters.in_window as f64;
    expect_within(0.001, achieved, 1.0);
    assert!(counters.answered_after_window <= 5);
}

#[test]
fn poisson_arrivals_at_a_constant_service_wait_as_in_m_d_1() {
    // 100,000/s at 8 us: utilisation 0.8. Mean wait: rho / (2 (1 - rho)) services = 16 us.
    let found = simulate("--rate 100k --warmup 1s --duration 10s -c 16", constant(8_000));
    let response = &found.latencies[Distribution::Response];
    assert!(response.count() > 990_000);
    expect_within(0.03, response.mean_ns().unwrap() as f64, 8_000.0 + 16_000.0);
    // Little's law, with the outstanding requests counted independently.
    let mean_outstanding = found.recorded.outstanding_ns as f64 / (10 * S) as f64;
    let rate_per_ns = response.count() as f64 / (10 * S) as f64;
    expect_within(0.001, mean_outstanding, rate_per_ns * response.mean_ns().unwrap() as f64);
}

#[test]
fn poisson_arrivals_at_an_exponential_service_wait_as_in_m_m_1() {
    // Utilisation 0.7 at a mean service of 7 us: the time in the system is exponential, with mean
    // s / (1 - rho).
    let service = |k: u64| -(1.0 - random::unit(random::at(99, k))).ln() * 7_000.0;
    let world =
        Simulation::new(Queue::new(64, move |k, begins_ns| begins_ns + service(k).round() as u64));
    let found = simulate("--rate 100k --warmup 1s --duration 10s -c 16 --seed 3", world);
    let response = &found.latencies[Distribution::Response];
    let mean_ns = 7_000.0 / (1.0 - 0.7);
    expect_within(0.03, response.mean_ns().unwrap() as f64, mean_ns);
    for (percentile, quantile, share) in
        [(P50, 0.5_f64, 0.03_f64), (P90, 0.9, 0.04), (P99, 0.99, 0.06), (P999, 0.999, 0.1)]
    {
        let expected = mean_ns * (1.0 / (1.0 - quantile)).ln();
        expect_within(share, at(response, percentile), expected);
    }
}

#[test]
fn an_interval_begins_where_the_window_begins_however_short_the_warm_up_is() {
    for (flags, warm_up_s) in [
        ("--warmup 200ms --duration 1s", &[-0.2][..]),
        ("--warmup 1500ms --duration 2s", &[-1.5, -1.0][..]),
        ("--warmup 2s --duration 1s", &[-2.0, -1.0][..]),
        ("--warmup 0s --duration 1s", &[][..]),
    ] {
        let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS / 10));
        let found = simulate(&format!("--rate 1000 --arrival constant -c 4 {flags}"), world);
        let starts: Vec<f64> = found.intervals.iter().map(|interval| interval.start_s).collect();
        let expected: Vec<f64> = warm_up_s.iter().copied().chain([0.0]).collect();
        for (start_s, expected_s) in starts.iter().zip(&expected) {
            assert!((start_s - expected_s).abs() <= 0.001, "{flags}: {starts:?}");
        }
        let whole = &found.intervals[warm_up_s.len()];
        assert!(whole.p99_ns.is_some() && whole.length_s > 0.99, "{flags}: {whole:?}");
    }
}
