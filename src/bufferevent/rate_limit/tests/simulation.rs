//! libevent's program `test-ratelim` in simulated time: connections that always want to write, to
//! an echo server whose bufferevents have rate limits.
//!
//! The settings and tolerances of its four configurations are those of libevent's CTest: 30
//! connections, 5 seconds, a tick of 100 ms, limits in bytes per second, bursts of four ticks.

use std::time::Duration;

use crate::bufferevent::rate_limit::group::{Change, Group};
use crate::rate_limit::Direction::{self, Read, Write};
use crate::rate_limit::{RateLimit, TokenBucket};

/// What a bufferevent transfers in one call at most.
const MAX_SINGLE: usize = 16_384;
/// As much waits to be read when a client is suspended in its writes.
const SOCKET_BUFFER: usize = 200_000;
const TICK_MS: u64 = 100;
/// The time that `test-ratelim` runs, and the time by which it divides.
const RUN: Duration = Duration::from_millis(4_995);
const SECONDS: f64 = 5.0;

/// What a simulation is made with; bytes per second where nothing else is said.
#[derive(Clone, Copy)]
struct Settings {
    connections: usize,
    connection_limit: Option<u64>,
    connection_tick_ms: u64,
    group_limit: Option<u64>,
    group_tick_ms: u64,
    /// Bytes removed from the group by hand at each of its ticks.
    drain: i64,
    /// How many bytes the client of this connection sends in each tick of 100 ms.
    demand: fn(connection: usize) -> usize,
    seed: u64,
}

impl Settings {
    /// The defaults of `test-ratelim -n 30 -t 100`.
    fn new(seed: u64) -> Self {
        Self {
            connections: 30,
            connection_limit: None,
            connection_tick_ms: TICK_MS,
            group_limit: None,
            group_tick_ms: TICK_MS,
            drain: 0,
            demand: |_| SOCKET_BUFFER,
            seed,
        }
    }
}

/// The server's end of a connection.
struct Connection {
    /// Its own limit: read, write.
    buckets: Option<[TokenBucket; 2]>,
    /// Bytes in the socket, sent by the client.
    unread: usize,
    /// Bytes in the output buffer.
    output: usize,
    /// Bytes that the client received.
    received: usize,
}

struct Simulation {
    settings: Settings,
    connections: Vec<Connection>,
    group: Option<Group<usize>>,
    now_ns: u64,
}

fn limit(bytes_per_second: u64, tick_ms: u64) -> RateLimit {
    let rate = bytes_per_second * tick_ms / 1_000;
    let limit = RateLimit::new(rate, 4 * rate, rate, 4 * rate).unwrap();
    limit.with_tick(Duration::from_millis(tick_ms)).unwrap()
}

impl Simulation {
    fn new(settings: Settings) -> Self {
        let own = settings.connection_limit.map(|own| limit(own, settings.connection_tick_ms));
        let buckets =
            own.map(|own| [Read, Write].map(|direction| TokenBucket::new(&own, direction, 0)));
        let connection =
            || Connection { buckets: buckets.clone(), unread: 0, output: 0, received: 0 };
        let connections = (0..settings.connections).map(|_| connection()).collect();
        let mut group = settings
            .group_limit
            .map(|group| Group::new(&limit(group, settings.group_tick_ms), 0, settings.seed));
        for member in 0..settings.connections {
            group.as_mut().map(|group| group.add(member));
        }
        Self { settings, connections, group, now_ns: 0 }
    }

    /// Runs it; returns the bytes per second that each client received.
    fn run(mut self) -> Vec<f64> {
        let tick_ns = Duration::from_millis(TICK_MS).as_nanos() as u64;
        let group_tick_ns = Duration::from_millis(self.settings.group_tick_ms).as_nanos() as u64;
        let (mut next_demand_ns, mut next_drain_ns) = (0, group_tick_ns);
        let mut order: Vec<usize> = (0..self.settings.connections).collect();
        while u128::from(self.now_ns) < RUN.as_nanos() {
            if self.now_ns >= next_demand_ns {
                next_demand_ns += tick_ns;
                for (number, connection) in self.connections.iter_mut().enumerate() {
                    let demand = (self.settings.demand)(number);
                    connection.unread = (connection.unread + demand).min(SOCKET_BUFFER);
                }
            }
            if self.now_ns >= next_drain_ns {
                next_drain_ns += group_tick_ns;
                if let Some(group) = &mut self.group {
                    // The refill below decides.
                    let _ = group.decrement(Read, self.settings.drain);
                    let _ = group.decrement(Write, self.settings.drain);
                }
            }
            self.refill(&mut order);
            while order.iter().filter(|number| self.serve(**number)).count() > 0 {}
            self.now_ns = self.next_time().min(next_demand_ns).min(next_drain_ns);
        }
        self.check_totals();
        self.connections.iter().map(|connection| connection.received as f64 / SECONDS).collect()
    }

    /// Refills all buckets. A group that resumes determines who is served first.
    fn refill(&mut self, order: &mut Vec<usize>) {
        for bucket in self.connections.iter_mut().filter_map(|c| c.buckets.as_mut()).flatten() {
            bucket.refill(self.now_ns);
        }
        let Some(group) = &mut self.group else { return };
        for direction in [Read, Write] {
            if group.refill(direction, self.now_ns) == Change::Resume {
                *order = group.resume_order(direction).collect();
            }
        }
    }

    /// One turn of the loop for one connection; returns whether it transferred bytes.
    fn serve(&mut self, number: usize) -> bool {
        let read = self.allowance(number, Read).min(self.connections[number].unread);
        self.transferred(number, Read, read);
        let written = self.allowance(number, Write).min(self.connections[number].output);
        self.transferred(number, Write, written);
        read + written > 0
    }

    /// libevent: `bufferevent_get_max_to_read` and `bufferevent_get_max_to_write`.
    fn allowance(&self, number: usize, direction: Direction) -> usize {
        let own = self.connections[number].buckets.as_ref();
        let own = own.map_or(MAX_SINGLE, |buckets| buckets[direction as usize].available());
        let share = self.group.as_ref().map_or(MAX_SINGLE, |group| group.share(direction));
        MAX_SINGLE.min(own).min(share)
    }

    fn transferred(&mut self, number: usize, direction: Direction, bytes: usize) {
        let connection = &mut self.connections[number];
        match direction {
            Read => {
                connection.unread -= bytes;
                connection.output += bytes;
            }
            Write => {
                connection.output -= bytes;
                connection.received += bytes;
            }
        }
        if let Some(buckets) = &mut connection.buckets {
            buckets[direction as usize].take(bytes);
        }
        if let Some(group) = &mut self.group {
            // A share of 0 suspends the members here.
            let _ = group.take(direction, bytes);
        }
    }

    /// When the next suspended direction can go on.
    fn next_time(&self) -> u64 {
        let of_buckets = self.connections.iter().filter_map(|c| c.buckets.as_ref()).flatten();
        let of_group = self
            .group
            .iter()
            .flat_map(|group| [Read, Write].map(|direction| group.wait(direction, self.now_ns)));
        let waits = of_buckets.map(|bucket| bucket.wait(self.now_ns)).chain(of_group);
        let wait = waits.filter(|wait| !wait.is_zero()).min().unwrap_or(Duration::MAX);
        self.now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
    }

    fn check_totals(&self) {
        let received: usize = self.connections.iter().map(|connection| connection.received).sum();
        if let Some(group) = &self.group {
            assert_eq!(group.totals().written, received as u64);
        }
    }
}

/// What libevent checks: total, mean and standard deviation, in bytes per second.
struct Flow {
    total: f64,
    mean: f64,
    deviation: f64,
}

fn flow(received: &[f64]) -> Flow {
    let total: f64 = received.iter().sum();
    let mean = total / received.len() as f64;
    let squares: f64 = received.iter().map(|own| (own - mean).powi(2)).sum();
    Flow { total, mean, deviation: (squares / received.len() as f64).sqrt() }
}

/// Runs a simulation with many seeds, and checks each.
fn for_seeds(settings: impl Fn(Settings) -> Settings, check: fn(Flow, &[f64])) {
    for seed in (0..50).map(|n| n << 58) {
        let received = Simulation::new(settings(Settings::new(seed))).run();
        check(flow(&received), &received);
    }
}

fn expect_near(what: &str, actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{what} is {actual}, not near {expected}");
}

/// `test-ratelim -g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-stddev 100`
#[test]
fn a_group_limit_is_kept_and_shared_equally() {
    let settings = |defaults| Settings { group_limit: Some(30_000), ..defaults };
    for_seeds(settings, |flow, _| {
        expect_near("the total", flow.total, 30_000.0, 1_000.0);
        // libevent allows 100. It resumes from a random member on, which often makes it 100 here.
        expect_near("the deviation", flow.deviation, 0.0, 30.0);
    });
}

/// `test-ratelim -c 1000 -n 30 -t 100 --check-connlimit 50 --check-stddev 50`
#[test]
fn a_connection_limit_is_kept() {
    let settings = |defaults| Settings { connection_limit: Some(1_000), ..defaults };
    for_seeds(settings, |flow, _| {
        expect_near("the mean", flow.mean, 1_000.0, 50.0);
        expect_near("the deviation", flow.deviation, 0.0, 50.0);
    });
}

/// `test-ratelim -c 1000 -g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-connlimit 50
/// --check-stddev 50`
#[test]
fn a_group_limit_and_connection_limits_are_kept_together() {
    let settings = |defaults| Settings {
        connection_limit: Some(1_000),
        group_limit: Some(30_000),
        ..defaults
    };
    for_seeds(settings, |flow, _| {
        expect_near("the total", flow.total, 30_000.0, 1_000.0);
        expect_near("the mean", flow.mean, 1_000.0, 50.0);
        expect_near("the deviation", flow.deviation, 0.0, 50.0);
    });
}

/// `test-ratelim -c 1000 -g 35000 -n 30 -t 100 -G 500 --check-grouplimit 1000 --check-connlimit 50
/// --check-stddev 50`
#[test]
fn what_is_drained_from_a_group_by_hand_counts_against_its_limit() {
    let settings = |defaults| Settings {
        connection_limit: Some(1_000),
        group_limit: Some(35_000),
        drain: 500,
        ..defaults
    };
    for_seeds(settings, |flow, _| {
        expect_near("the total", flow.total, 30_000.0, 1_000.0);
        expect_near("the mean", flow.mean, 1_000.0, 50.0);
        expect_near("the deviation", flow.deviation, 0.0, 50.0);
    });
}

#[test]
fn limits_are_kept_when_connections_and_group_have_different_ticks() {
    let settings = |defaults| Settings {
        connection_limit: Some(2_000),
        connection_tick_ms: 70,
        group_limit: Some(30_000),
        group_tick_ms: 30,
        ..defaults
    };
    for_seeds(settings, |flow, _| {
        expect_near("the total", flow.total, 30_000.0, 1_000.0);
        expect_near("the deviation", flow.deviation, 0.0, 30.0);
    });
}

#[test]
fn connections_that_need_less_than_their_share_get_all_they_need_and_leave_the_rest() {
    /// Bytes in each tick of 100 ms: a third of the connections sends 20, the others all they can.
    const MODEST: usize = 20;
    let demand = |number| if number % 3 == 0 { MODEST } else { SOCKET_BUFFER };
    let settings = |defaults| Settings { group_limit: Some(30_000), demand, ..defaults };
    for_seeds(settings, |flow, received| {
        expect_near("the total", flow.total, 30_000.0, 1_000.0);
        let third = |is_modest: bool| -> Vec<f64> {
            let all = received.iter().copied().enumerate();
            all.filter(|(number, _)| (number % 3 == 0) == is_modest).map(|(_, own)| own).collect()
        };
        let (modest, greedy) = (self::flow(&third(true)), self::flow(&third(false)));
        expect_near("the mean of the modest", modest.mean, 200.0, 30.0);
        expect_near("the mean of the others", greedy.mean, 1_400.0, 60.0);
        expect_near("the deviation of the others", greedy.deviation, 0.0, 120.0);
    });
}
