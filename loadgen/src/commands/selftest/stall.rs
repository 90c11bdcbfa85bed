//! A server that stalls: do the response times contain every request that waited?
//!
//! Requests come at a constant rate for D, and the server is frozen for S of it. The share S/D of
//! them then waits, evenly spread between nothing and S: above the quantile 1 - S/D the response
//! time is `S (q - (1 - S/D)) / (S/D)`. A clock that starts when a request is sent sees one slow
//! request for each connection instead.

use std::time::Duration;

use super::Check;
use crate::clock::nanoseconds;
use crate::commands::echo_server::{self, Behaviour};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::{Distribution, Latencies};
use crate::units::{self, counted};

const RATE_PER_S: u64 = 2_000;
const DURATION: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_millis(200);
const CONNECTIONS: u64 = 16;
const SIZE_BYTES: u64 = 64;

/// How far the response times may be from theory.
const TOLERANCE: f64 = 0.10;

/// Freezes the echo in the middle of a run, and compares with theory.
pub(super) fn check(interrupt: &Interrupt) -> Result<Vec<Check>, Error> {
    let flags = format!(
        "--rate {RATE_PER_S} --arrival constant --duration {}ms --warmup 200ms -c {CONNECTIONS} \
         --size {SIZE_BYTES} --pipeline 1",
        DURATION.as_millis()
    );
    // One second after the warm-up.
    let at_byte = SIZE_BYTES * (RATE_PER_S + RATE_PER_S / 5);
    let behaviour = Behaviour::Stall { at_byte, length: STALL };
    let measurement = echo_server::measure(behaviour, &flags, interrupt)?;
    Ok(judge(&measurement.latencies))
}

fn judge(latencies: &Latencies) -> Vec<Check> {
    let quantiles = [("stall p95", 0.95), ("stall p99", 0.99)];
    let mut checks: Vec<Check> =
        quantiles.iter().map(|&(name, quantile)| response(name, quantile, latencies)).collect();
    checks.push(service(latencies));
    checks
}

fn response(name: &'static str, quantile: f64, latencies: &Latencies) -> Check {
    let expected_ns = expected_ns(quantile);
    let found_ns = latencies[Distribution::Response].quantile_ns(quantile);
    let passed = (found_ns as f64 / expected_ns as f64 - 1.0).abs() <= TOLERANCE;
    let (found, expected) = (units::duration(found_ns), units::duration(expected_ns));
    Check { name, passed, figures: format!("response {found}, by theory {expected}") }
}

/// The response time at a quantile beyond those who did not wait.
fn expected_ns(quantile: f64) -> u64 {
    let share = STALL.as_secs_f64() / DURATION.as_secs_f64();
    let waited = (quantile - (1.0 - share)) / share;
    (nanoseconds(STALL) as f64 * waited) as u64
}

/// Of the requests that waited, the service times contain only the one outstanding per connection.
fn service(latencies: &Latencies) -> Check {
    let slow_ns = nanoseconds(STALL) / 2;
    let slow: u64 = latencies[Distribution::Service]
        .buckets()
        .filter(|&(ns, _)| ns >= slow_ns)
        .map(|(_, count)| count)
        .sum();
    let waited = latencies[Distribution::Response].buckets().filter(|&(ns, _)| ns >= slow_ns);
    let waited: u64 = waited.map(|(_, count)| count).sum();
    Check {
        name: "stall, seen from sends",
        passed: (1..=CONNECTIONS).contains(&slow),
        figures: format!(
            "{slow} of {CONNECTIONS} connections saw it once, and {} waited so long",
            counted(waited, "request")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_spreads_those_who_waited_evenly_over_the_stall() {
        let millisecond = 1_000_000;
        assert_eq!((expected_ns(0.95) + millisecond / 2) / millisecond, 100);
        assert_eq!((expected_ns(0.99) + millisecond / 2) / millisecond, 180);
    }

    /// What a loader records that counts from the given times.
    fn recorded(response_is_right: bool) -> Latencies {
        let mut latencies = Latencies::new();
        let requests = RATE_PER_S * DURATION.as_secs();
        let stalled = requests / 10;
        for request in 0..requests {
            let waited_ns = match request {
                _ if request >= stalled => 50_000,
                _ if response_is_right => nanoseconds(STALL) * (request + 1) / stalled,
                // Coordinated omission: one slow request a connection.
                _ if request < CONNECTIONS => nanoseconds(STALL),
                _ => 50_000,
            };
            latencies[Distribution::Response].record(waited_ns);
            latencies[Distribution::Service].record(if request < CONNECTIONS {
                199_000_000
            } else {
                50_000
            });
        }
        latencies
    }

    #[test]
    fn a_loader_that_omits_those_who_would_have_waited_fails() {
        assert!(judge(&recorded(true)).iter().all(|check| check.passed));
        let omitting = judge(&recorded(false));
        assert!(!omitting[0].passed && !omitting[1].passed, "{omitting:?}");
    }

    #[test]
    fn service_times_that_show_what_no_send_saw_fail() {
        let mut latencies = recorded(true);
        let responses = latencies[Distribution::Response].clone();
        latencies[Distribution::Service].merge(&responses);
        assert!(!judge(&latencies)[2].passed);
    }
}
