//! Unix sockets whose backlog is full: the kernel neither waits nor repeats the handshake.

use std::cell::Cell;
use std::rc::Rc;

use super::simulation::{Queue, Simulation};
use super::{MS, S, simulate, try_to_simulate};
use crate::latency::Distribution;

/// A quick server whose backlog is full until this time.
fn full_until(full_until_ns: u64, attempts: &Rc<Cell<u32>>) -> Simulation {
    let server = Queue::new(64, |_, begins_ns| begins_ns + MS / 10);
    Simulation::new(server).full_until(full_until_ns, attempts)
}

#[test]
fn a_backlog_that_stays_full_ends_the_start_at_the_timeout_after_few_connects() {
    let attempts = Rc::default();
    let world = full_until(1_000 * S, &attempts);
    let error = try_to_simulate("-c 10 --timeout 3s", world).err().unwrap().to_string();
    assert!(error.contains("the backlog of the socket stayed full for 3s"), "{error}");
    // After 1 ms, 2 ms, 4 ms, ... and then each second.
    assert!((100..=130).contains(&attempts.get()), "{} attempts", attempts.get());
}

#[test]
fn a_backlog_that_was_full_for_a_while_delays_the_connects_and_is_no_error() {
    let attempts = Rc::default();
    let found = simulate("-c 10 --duration 1s --timeout 3s", full_until(500 * MS, &attempts));
    let counters = &found.recorded.counters;
    assert_eq!((counters.connects, counters.connect_failures), (10, 0));
    let connect = &found.latencies[Distribution::Connect];
    assert!(connect.min_ns().unwrap() >= 500 * MS && connect.max_ns().unwrap() < S, "{connect:?}");
}

#[test]
fn a_backlog_that_is_full_under_load_fails_the_connects_at_the_timeout() {
    let flags = "--rate 100 -c 10 --connect-per-request --warmup 0s --duration 4s --timeout 1s";
    let attempts = Rc::default();
    let found = simulate(flags, full_until(1_000 * S, &attempts));
    let counters = &found.recorded.counters;
    assert_eq!((counters.connects, counters.sent), (0, 0));
    assert!(counters.connect_failures >= 10, "{counters:?}");
    assert_eq!(counters.connects_timed_out, counters.connect_failures);
    assert!(attempts.get() < 300, "{} attempts", attempts.get());
}
