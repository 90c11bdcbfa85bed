//! The maximum age of connections. One that reaches it drains as in the drain of a server: its
//! service is notified, it is closed once it is quiet, and cut at the drain timeout.
//!
//! Each connection draws its own age of a tenth more or less, so that connections that began
//! together do not end together. A sweep looks at the ages of all connections in a row, some
//! hundred times in the maximum age. So an age costs a connection four bytes and no timer, and no
//! request looks at it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::drain::{QUIET_TIME, close_if_quiet, cut};
use super::worker::Worker;
use crate::base::Registry;
use crate::base::log_interval::LogInterval;
use crate::event::{EventId, EventSpec, Fired};

/// Sweeps in the maximum age: a connection ends at most a hundredth of its age late.
const SWEEPS_PER_AGE: u32 = 100;
/// The shortest time between two sweeps.
const SWEEP_MIN: Duration = Duration::from_millis(5);
/// The longest time between two sweeps. With them few connections become due at once.
const SWEEP_MAX: Duration = Duration::from_secs(1);

/// Each age is the maximum age times a random factor of this range.
const JITTER: std::ops::Range<f64> = 0.9..1.1;

/// A connection without an age: closed, or draining.
const NO_AGE: u32 = 0;

/// The ages of a shard's connections.
#[derive(Debug)]
pub(super) struct ConnectionAges {
    max: Duration,
    pub(super) drain_timeout: Duration,
    random: fastrand::Rng,
    started: Instant,
    /// The time between two sweeps, the unit of `due`.
    interval: Duration,
    /// By key: the sweep at which the connection is due, which wraps.
    due: Vec<u32>,
    /// The connections that drain, by key, each with the end of its drain timeout.
    draining: BTreeMap<usize, Instant>,
    sweep: EventId,
    drain_tick: EventId,
    log: LogInterval,
}

impl ConnectionAges {
    /// Ages of at most about `max`. Shards of different seeds draw different ages.
    pub(super) fn new(
        max: Duration,
        drain_timeout: Duration,
        seed: u64,
        registry: &mut Registry<Worker>,
    ) -> Self {
        let timer = EventSpec::timer().persist();
        Self {
            max,
            drain_timeout,
            random: fastrand::Rng::with_seed(seed),
            started: registry.now(),
            interval: (max / SWEEPS_PER_AGE).clamp(SWEEP_MIN, SWEEP_MAX),
            due: Vec::new(),
            draining: BTreeMap::new(),
            sweep: registry.create(timer, on_sweep),
            drain_tick: registry.create(timer, on_drain_tick),
            log: LogInterval::default(),
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, registry: &mut Registry<Worker>, key: usize) {
        let factor = JITTER.start + (JITTER.end - JITTER.start) * self.random.f64();
        let due = self.sweep_at(registry.now() + self.max.mul_f64(factor)).wrapping_add(1);
        if self.due.len() <= key {
            self.due.resize(key + 1, NO_AGE);
        }
        self.due[key] = if due == NO_AGE { 1 } else { due };
        if registry.deadline(self.sweep).is_none() {
            start(registry, self.sweep, self.interval);
        }
    }

    /// A connection is closed.
    pub(super) fn end(&mut self, key: usize) {
        self.due[key] = NO_AGE;
        self.draining.remove(&key);
    }

    /// Whether a connection drains because of its age.
    pub(super) fn is_draining(&self, key: usize) -> bool {
        self.draining.contains_key(&key)
    }

    pub(super) fn free(self, registry: &mut Registry<Worker>) {
        registry.free(self.sweep);
        registry.free(self.drain_tick);
    }

    /// The number of the sweep at this time, which wraps.
    fn sweep_at(&self, time: Instant) -> u32 {
        (time.saturating_duration_since(self.started).as_nanos() / self.interval.as_nanos()) as u32
    }

    /// The connections that have reached their age by now; from now on they drain.
    fn take_due(&mut self, now: Instant) -> Vec<usize> {
        let sweep = self.sweep_at(now);
        let is_due = |due: u32| due != NO_AGE && due.wrapping_sub(sweep).cast_signed() <= 0;
        let due = self.due.iter().enumerate().filter(|&(_, &due)| is_due(due));
        let keys: Vec<usize> = due.map(|(key, _)| key).collect();
        for &key in &keys {
            self.due[key] = NO_AGE;
            self.draining.insert(key, now + self.drain_timeout);
        }
        keys
    }
}

fn start(registry: &mut Registry<Worker>, timer: EventId, interval: Duration) {
    registry.add(timer, Some(interval)).expect("a timer needs nothing of the kernel");
}

fn on_sweep(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let now = registry.now();
    let Some(ages) = &mut worker.shard.ages else { return };
    let keys = ages.take_due(now);
    let drain_tick = ages.drain_tick;
    if let Some(&key) = keys.first()
        && let Some(suppressed) = ages.log.next(now)
    {
        let peer = worker.shard.connections[key].peer_address();
        log::debug!(
            target: "shard", shard = worker.shard.handoff.shard(), peer:%, suppressed;
            "a connection has reached its maximum age and drains"
        );
    }
    worker.shard.stats.aged += keys.len() as u64;
    for key in keys {
        worker.connection(registry, key).begin_draining();
        if registry.deadline(drain_tick).is_none() {
            start(registry, drain_tick, QUIET_TIME);
        }
    }
    if worker.shard.connections.is_empty() {
        registry.del(fired.id);
    }
    worker.mark();
}

fn on_drain_tick(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let now = registry.now();
    let Some(ages) = &worker.shard.ages else { return };
    let draining: Vec<(usize, Instant)> =
        ages.draining.iter().map(|(&key, &end)| (key, end)).collect();
    for (key, end) in draining {
        let mut connection = worker.connection(registry, key);
        if now >= end {
            cut(&mut connection);
        } else {
            close_if_quiet(&mut connection);
        }
    }
    if worker.shard.ages.as_ref().is_some_and(|ages| ages.draining.is_empty()) {
        registry.del(fired.id);
    }
    worker.mark();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::test_worker::{pair, worker_with};
    use super::*;
    use crate::base::LoopFlags;
    use crate::server::config::ServerConfig;
    use crate::server::service::Echo;

    const MAX: Duration = Duration::from_secs(1000);

    fn ages(registry: &mut Registry<Worker>, seed: u64) -> ConnectionAges {
        ConnectionAges::new(MAX, Duration::ZERO, seed, registry)
    }

    /// How many of a hundred connections are due after a share of the maximum age.
    fn due_after(ages: &mut ConnectionAges, share: f64) -> usize {
        let time = ages.started + MAX.mul_f64(share);
        let before = ages.due.clone();
        let due = ages.take_due(time).len();
        ages.due = before;
        due
    }

    #[test]
    fn each_connection_draws_an_age_of_a_tenth_more_or_less_from_the_seed() {
        let (_client, socket) = pair();
        let (mut base, _worker) = worker_with(Echo, socket);
        let [mut ages, mut same, mut other] = [1, 1, 2].map(|seed| {
            let mut ages = ages(base.registry(), seed);
            (0..100).for_each(|key| ages.begin(base.registry(), key));
            ages
        });
        for (share, range) in [(0.899, 0..=0), (0.95, 10..=40), (1.05, 60..=90), (1.11, 100..=100)]
        {
            let due = due_after(&mut ages, share);
            assert!(range.contains(&due), "{due} after {share}");
            assert_eq!(due_after(&mut same, share), due);
        }
        assert_ne!(other.due, ages.due);
        other.end(7);
        assert_eq!(due_after(&mut other, 1.2), 99);
        [ages, same, other].into_iter().for_each(|ages| ages.free(base.registry()));
    }

    #[test]
    fn an_age_is_kept_also_after_136_years_of_sweeps() {
        let (_client, socket) = pair();
        let (mut base, _worker) = worker_with(Echo, socket);
        let mut ages = ages(base.registry(), 1);
        // The next sweep is the first one again.
        ages.started -= ages.interval * u32::MAX;
        ages.begin(base.registry(), 0);
        let now = base.registry().now();
        for (share, due) in [(0.0, 0), (0.89, 0), (1.11, 1)] {
            assert_eq!(ages.take_due(now + MAX.mul_f64(share)).len(), due, "{share}");
        }
        ages.free(base.registry());
    }

    #[test]
    fn a_changed_drain_timeout_counts_for_connections_that_become_too_old() {
        let (_client, socket) = pair();
        let (mut base, mut worker) = worker_with(Echo, socket);
        worker.shard.ages = Some(Box::new(ages(base.registry(), 1)));
        let mut config = ServerConfig::default();
        config.drain.timeout = Duration::from_secs(77);
        worker.reconfigure(base.registry(), &config).unwrap();
        let ages = worker.shard.ages.as_mut().unwrap();
        ages.begin(base.registry(), 0);
        let now = ages.started + MAX * 2;
        assert_eq!(ages.take_due(now), [0]);
        assert_eq!(ages.draining[&0], now + config.drain.timeout);
    }

    #[test]
    fn a_shard_without_connections_sweeps_no_ages() {
        let (client, socket) = pair();
        let (mut base, mut worker) = worker_with(Echo, socket);
        let ages = ConnectionAges::new(SWEEP_MIN, Duration::ZERO, 1, base.registry());
        let sweep = ages.sweep;
        worker.shard.ages = Some(Box::new(ages));
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        assert!(base.registry().deadline(sweep).is_some(), "it has a connection");
        drop(client);
        while base.registry().deadline(sweep).is_some() {
            base.run_with(&mut worker, LoopFlags::ONCE).unwrap();
        }
        assert!(worker.shard.connections.is_empty());
    }
}
