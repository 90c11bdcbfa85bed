//! How replies arrive, and how connections come and go.

use std::cell::Cell;
use std::rc::Rc;

use super::simulation::{Queue, SimulatedReply, SimulatedServer, Simulation};
use super::{MS, S, simulate};
use crate::latency::Distribution;

/// Echoes with every byte on its own, `gap_ns` apart, the first after `gap_ns`.
struct ByteByByte {
    gap_ns: u64,
}

impl SimulatedServer for ByteByByte {
    fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
        let at_ns = (1..).map(|number| now_ns + number * self.gap_ns);
        at_ns
            .zip(bytes)
            .map(|(at_ns, byte)| SimulatedReply::Bytes { at_ns, bytes: vec![*byte] })
            .collect()
    }
}

#[test]
fn a_reply_counts_when_its_last_byte_has_come() {
    let world = Simulation::new(ByteByByte { gap_ns: 1_000 });
    let found =
        simulate("--rate 100 --arrival constant --size 10 --warmup 0s --duration 2s -c 2", world);
    let service = &found.latencies[Distribution::Service];
    assert_eq!(
        (service.count(), service.min_ns(), service.max_ns()),
        (200, Some(10_000), Some(10_000))
    );
}

#[test]
fn replies_read_together_have_their_own_send_times() {
    // Answers only each 10 ms; requests come each millisecond on one connection.
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns.next_multiple_of(10 * MS)));
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 1s -c 1 --pipeline 16",
        world,
    );
    let response = &found.latencies[Distribution::Response];
    assert_eq!(response.count(), 1_000);
    assert_eq!(response.min_ns(), Some(0));
    assert_eq!(response.max_ns(), Some(9 * MS));
    assert_eq!(response.mean_ns(), Some(4_500_000));
}

#[test]
fn the_pipeline_is_never_deeper_than_requested() {
    /// Answers after 50 ms, and remembers how many requests it had at most.
    struct Slow {
        ends_ns: Vec<u64>,
        most: Rc<Cell<usize>>,
    }
    impl SimulatedServer for Slow {
        fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
            self.ends_ns.retain(|&at_ns| at_ns > now_ns);
            let at_ns = now_ns + 50 * MS;
            let requests = bytes.chunks(64).inspect(|_| self.ends_ns.push(at_ns));
            let replies = requests
                .map(|bytes| SimulatedReply::Bytes { at_ns, bytes: bytes.to_vec() })
                .collect();
            self.most.set(self.most.get().max(self.ends_ns.len()));
            replies
        }
    }
    let most = Rc::new(Cell::new(0));
    let world = Simulation::new(Slow { ends_ns: Vec::new(), most: Rc::clone(&most) });
    simulate("--rate 1000 --arrival constant --warmup 0s --duration 2s -c 1 --pipeline 5", world);
    assert_eq!(most.get(), 5);
}

#[test]
fn the_window_is_cut_by_intended_time_and_the_drain_is_waited_for() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 100 * MS));
    let flags = "--rate 5 --arrival constant --warmup 1s --duration 2s -c 1 --pipeline 8";
    let found = simulate(flags, world);
    let counters = &found.recorded.counters;
    assert_eq!((counters.scheduled, counters.completed), (15, 15));
    assert_eq!((counters.in_window, counters.measured), (10, 10));
}

#[test]
fn a_connection_is_replaced_after_so_many_requests_and_nothing_is_lost() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 1_000));
    let found =
        simulate("--rate 1000 --arrival constant --warmup 0s --duration 2s -c 2 --churn 10", world);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.sent), (2_000, 2_000));
    assert_eq!(counters.churned, 200);
    assert!(!counters.has_errors());
}

#[test]
fn a_connection_is_replaced_after_its_lifetime_the_first_time_earlier() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 1_000));
    let found = simulate(
        "--rate 100 --arrival constant --warmup 0s --duration 10s -c 10 --lifetime 1s",
        world,
    );
    let counters = &found.recorded.counters;
    assert!((90..=105).contains(&counters.churned), "{counters:?}");
    assert_eq!(counters.completed, 1_000);
}

#[test]
fn with_a_connection_for_each_request_the_connect_is_a_part_of_it() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 3 * MS));
    let found = simulate(
        "--rate 100 --arrival constant --warmup 0s --duration 2s -c 4 --connect-per-request",
        world.shaking_hands_for(2 * MS),
    );
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.connects, counters.churned), (200, 200, 200));
    for latency in
        [&found.latencies[Distribution::Response], &found.latencies[Distribution::Service]]
    {
        assert_eq!((latency.min_ns(), latency.max_ns()), (Some(5 * MS), Some(5 * MS)));
    }
    assert_eq!(found.latencies[Distribution::Connect].max_ns(), Some(2 * MS));
    assert_eq!(found.latencies[Distribution::Lateness].max_ns(), Some(0));
}

#[test]
fn a_request_that_waits_for_a_new_connection_is_blocked_and_the_loader_is_not_late() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + 1_000));
    let found = simulate(
        "--rate 1000 --arrival constant --warmup 0s --duration 1s -c 1 --churn 10",
        world.shaking_hands_for(5 * MS),
    );
    assert_eq!(found.recorded.counters.completed, 1_000);
    assert_eq!(found.latencies[Distribution::LoaderLate].max_ns(), Some(0));
    let blocked = found.latencies[Distribution::Blocked].max_ns().unwrap();
    assert!((4 * MS..=5 * MS).contains(&blocked), "{blocked}");
}

#[test]
fn a_closed_loop_with_a_connection_for_each_request_never_idles() {
    let world = Simulation::new(Queue::new(64, |_, begins_ns| begins_ns + MS));
    let found = simulate("--warmup 0s --duration 1s -c 1 --connect-per-request", world);
    assert_eq!(found.latencies[Distribution::Service].count(), S / MS);
    assert_eq!(found.latencies[Distribution::Service].max_ns(), Some(MS));
}
