//! The activity of a server between two snapshots.

use std::collections::BTreeMap;

use super::snapshot::{Acceptor, Histograms, Shard, Snapshot, Times, sum};

/// The later snapshot, and the differences from the earlier one.
#[derive(Debug)]
pub(super) struct Interval<'a> {
    pub(super) now: &'a Snapshot,
    pub(super) shards: Vec<Activity>,
    pub(super) total: Activity,
    /// Per second: connections reset for lack of room, connections reset because their source had
    /// as many as it may, and pauses of accepting.
    pub(super) sheds: f64,
    pub(super) over_source_limit: f64,
    pub(super) pauses: f64,
    /// CPU time as a share of one core.
    pub(super) cpu_share: f64,
}

/// The activity of a shard. Counters are per second.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity {
    pub(super) core: Option<usize>,
    pub(super) answered: bool,
    pub(super) open: u64,
    pub(super) queued: u64,
    pub(super) busy_share: f64,
    pub(super) accepts: f64,
    pub(super) reads: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    pub(super) wakes: f64,
    pub(super) errors: f64,
    pub(super) loop_lag: Recent,
    pub(super) handoff: Recent,
}

/// The times recorded in the interval, with their counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recent(BTreeMap<u64, u64>);

impl<'a> Interval<'a> {
    /// The interval between two snapshots, or since the start if the server was restarted.
    pub(super) fn new(before: &Snapshot, now: &'a Snapshot) -> Self {
        if before.process.pid != now.process.pid || before.uptime_s >= now.uptime_s {
            return Self::since_start(now);
        }
        Self::between(before, now)
    }

    /// The interval since the server started.
    pub(super) fn since_start(now: &'a Snapshot) -> Self {
        Self::between(&Snapshot::default(), now)
    }

    fn between(before: &Snapshot, now: &'a Snapshot) -> Self {
        // By the server's own clock, so that the network delay does not count.
        let per_second = Rate((now.uptime_s - before.uptime_s).max(1e-3));
        let shard = |number| Activity::of_shard(number, before, now, per_second);
        let shards: Vec<Activity> = (0..now.shards.len()).map(shard).collect();
        let of_all = |of: fn(&Acceptor) -> u64| {
            let sum = |snapshot: &Snapshot| sum(snapshot.acceptors.iter().map(of));
            per_second.of(sum(before), sum(now))
        };
        let total = Activity::total(&shards);
        Self {
            now,
            total,
            sheds: of_all(|acceptor| acceptor.shed),
            over_source_limit: of_all(|acceptor| acceptor.source_limit),
            pauses: of_all(Acceptor::pauses),
            cpu_share: per_second.of(before.process.cpu_ns, now.process.cpu_ns) / 1e9,
            shards,
        }
    }
}

/// Differences per second over this many seconds.
#[derive(Clone, Copy)]
struct Rate(f64);

impl Rate {
    fn of(self, before: u64, now: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.0
    }
}

impl Activity {
    fn of_shard(number: usize, before: &Snapshot, now: &Snapshot, rate: Rate) -> Self {
        let shard = &now.shards[number];
        let times = |of: &Snapshot| of.histograms.get(number).cloned().unwrap_or_default();
        let mut activity = Self::state(shard);
        let is_known = |before: &Shard| before.answered && shard.answered;
        // Without an answer the counters are unknown, not zero, so there is no difference.
        if before.shards.get(number).is_none_or(is_known) {
            let earlier = before.shards.get(number).cloned().unwrap_or_default();
            activity.add_rates(&earlier, shard, rate);
            activity.add_times(&times(before), &times(now));
        }
        activity
    }

    fn state(now: &Shard) -> Self {
        Self {
            core: now.core,
            answered: now.answered,
            open: now.open,
            queued: now.queued,
            busy_share: now.busy_share,
            ..Self::default()
        }
    }

    fn add_rates(&mut self, before: &Shard, now: &Shard, rate: Rate) {
        self.accepts = rate.of(before.connections, now.connections);
        self.reads = rate.of(before.reads, now.reads);
        self.bytes_in = rate.of(before.bytes_in, now.bytes_in);
        self.bytes_out = rate.of(before.bytes_out, now.bytes_out);
        self.wakes = rate.of(before.wakes_sent, now.wakes_sent);
        self.errors = rate.of(before.errors(), now.errors());
    }

    fn add_times(&mut self, before: &Histograms, now: &Histograms) {
        self.loop_lag.add(&before.loop_lag_ns, &now.loop_lag_ns);
        self.handoff.add(&before.handoff_ns, &now.handoff_ns);
    }

    /// The sum of all shards; for the busy share, the mean.
    fn total(shards: &[Self]) -> Self {
        let mut total = Self { answered: true, ..Self::default() };
        for shard in shards {
            total.open = total.open.saturating_add(shard.open);
            total.queued = total.queued.saturating_add(shard.queued);
            total.busy_share += shard.busy_share / shards.len() as f64;
            total.accepts += shard.accepts;
            total.reads += shard.reads;
            total.bytes_in += shard.bytes_in;
            total.bytes_out += shard.bytes_out;
            total.wakes += shard.wakes;
            total.errors += shard.errors;
            total.loop_lag.merge(&shard.loop_lag);
            total.handoff.merge(&shard.handoff);
        }
        total
    }
}

impl Recent {
    /// Adds what `now` counts beyond `before`.
    fn add(&mut self, before: &Times, now: &Times) {
        let before: BTreeMap<u64, u64> = before.iter().copied().collect();
        for &(time, count) in now {
            let new = count.saturating_sub(before.get(&time).copied().unwrap_or(0));
            if new > 0 {
                self.count(time, new);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (&time, &count) in &other.0 {
            self.count(time, count);
        }
    }

    fn count(&mut self, time: u64, more: u64) {
        let count = self.0.entry(time).or_default();
        *count = count.saturating_add(more);
    }

    /// The 99th percentile in nanoseconds; `None` without any time.
    pub(super) fn p99_ns(&self) -> Option<u64> {
        let all: u128 = self.0.values().copied().map(u128::from).sum();
        let rank = (all * 99).div_ceil(100);
        let mut seen = 0;
        self.0.iter().find_map(|(&time, &count)| {
            seen += u128::from(count);
            (seen >= rank).then_some(time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(uptime_s: f64, reads: u64, times: Times) -> Snapshot {
        let shard = Shard { answered: true, connections: 1, reads, ..Default::default() };
        let histograms = vec![Histograms { loop_lag_ns: times, ..Default::default() }];
        Snapshot { uptime_s, shards: vec![shard], histograms, ..Default::default() }
    }

    #[test]
    fn rates_are_those_of_the_interval_by_the_servers_clock() {
        let (before, now) = (snapshot(10.0, 100, vec![]), snapshot(12.0, 500, vec![]));
        let interval = Interval::new(&before, &now);
        assert_eq!((interval.shards[0].reads, interval.total.reads), (200.0, 200.0));
    }

    #[test]
    fn a_server_that_started_again_is_counted_from_its_start() {
        let (before, mut now) = (snapshot(10.0, 100, vec![]), snapshot(2.0, 10, vec![]));
        assert_eq!(Interval::new(&before, &now).total.reads, 5.0);
        now.uptime_s = 20.0;
        now.process.pid = 7;
        assert_eq!(Interval::new(&before, &now).total.reads, 0.5);
    }

    #[test]
    fn percentiles_exclude_what_was_before_the_interval() {
        let before = snapshot(1.0, 0, vec![(10, 1_000), (900, 50)]);
        let now = snapshot(2.0, 0, vec![(10, 1_099), (20, 1), (900, 50)]);
        assert_eq!(Interval::new(&before, &now).total.loop_lag.p99_ns(), Some(10));
        assert_eq!(Interval::since_start(&now).total.loop_lag.p99_ns(), Some(900));
        assert_eq!(Interval::new(&now, &snapshot(3.0, 0, vec![])).total.loop_lag.p99_ns(), None);
    }

    #[test]
    fn a_silent_shard_has_no_rates_when_it_is_silent_nor_when_it_is_back() {
        let (before, after) = (snapshot(1.0, 1_000, vec![]), snapshot(3.0, 2_000, vec![]));
        let mut silent = snapshot(2.0, 0, vec![]);
        silent.shards[0] = Shard::default();
        assert_eq!(Interval::new(&before, &silent).total.reads, 0.0);
        assert_eq!(Interval::new(&silent, &after).total.reads, 0.0);
    }
}
