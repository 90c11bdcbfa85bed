//! All shards added up.

use super::{ConnectionErrors, ServerStats, ShardStats, ShardTimings};

impl ServerStats {
    /// All shards added up, without a core. The sum of the busy shares is the number of cores at
    /// work. `answered` is true if every shard answered.
    #[must_use]
    pub fn total(&self) -> ShardStats {
        let none = ShardStats { answered: true, ..ShardStats::default() };
        self.shards.iter().fold(none, ShardStats::plus)
    }
}

// Every field is named: a new one that is not added up does not compile.
impl ShardStats {
    fn plus(self, other: &Self) -> Self {
        Self {
            shard: 0,
            core: None,
            answered: self.answered && other.answered,
            open: self.open + other.open,
            queued: self.queued + other.queued,
            queued_max: self.queued_max.max(other.queued_max),
            busy: self.busy + other.busy,
            connections: self.connections + other.connections,
            reads: self.reads + other.reads,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
            reads_delayed: self.reads_delayed + other.reads_delayed,
            writes_delayed: self.writes_delayed + other.writes_delayed,
            aged: self.aged + other.aged,
            messages: self.messages + other.messages,
            messages_refused: self.messages_refused + other.messages_refused,
            dials: self.dials + other.dials,
            dials_failed: self.dials_failed + other.dials_failed,
            errors: self.errors.plus(other.errors),
            handshakes: self.handshakes.plus(other.handshakes),
            waits: self.waits + other.waits,
            wait_errors: self.wait_errors + other.wait_errors,
            events: self.events + other.events,
            event_capacity: self.event_capacity + other.event_capacity,
            changes: self.changes + other.changes,
            changes_coalesced: self.changes_coalesced + other.changes_coalesced,
            changes_cancelled: self.changes_cancelled + other.changes_cancelled,
            wakes_sent: self.wakes_sent + other.wakes_sent,
            wakes_suppressed: self.wakes_suppressed + other.wakes_suppressed,
            wakes_spurious: self.wakes_spurious + other.wakes_spurious,
            slow_callbacks: self.slow_callbacks + other.slow_callbacks,
            switches_involuntary: self.switches_involuntary + other.switches_involuntary,
            cpu_ns: self.cpu_ns + other.cpu_ns,
            timings: self.timings.plus(&other.timings),
        }
    }
}

impl ConnectionErrors {
    fn plus(self, other: Self) -> Self {
        Self {
            broken: self.broken + other.broken,
            first_byte: self.first_byte + other.first_byte,
            idle: self.idle + other.idle,
            message: self.message + other.message,
            too_large: self.too_large + other.too_large,
            no_memory: self.no_memory + other.no_memory,
            proxy: self.proxy + other.proxy,
            handshake: self.handshake + other.handshake,
            tls: self.tls + other.tls,
            truncated: self.truncated + other.truncated,
            source_limit: self.source_limit + other.source_limit,
            panicked: self.panicked + other.panicked,
            aborted: self.aborted + other.aborted,
            refused: self.refused + other.refused,
            cut: self.cut + other.cut,
        }
    }
}

impl ShardTimings {
    fn plus(mut self, other: &Self) -> Self {
        self.loop_lag.add(&other.loop_lag);
        self.callback.add(&other.callback);
        self.handoff.add(&other.handoff);
        self.handshake.add(&other.handshake);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_the_longest_queue_is_kept_and_a_missing_answer_shows() {
        let mut one = ShardStats { answered: true, reads: 7, queued_max: 5, ..Default::default() };
        one.errors.broken = 1;
        one.timings.handoff.record(1_000);
        let mut two = ShardStats { reads: 5, queued_max: 3, ..one.clone() };
        two.timings.handoff.record(3_000);
        let mut stats = ServerStats { shards: vec![one, two], ..Default::default() };
        let total = stats.total();
        assert_eq!((total.reads, total.queued_max, total.errors.broken), (12, 5, 2));
        assert_eq!(total.timings.handoff.percentiles().count, 3);
        assert!(total.answered);
        stats.shards[1].answered = false;
        assert!(!stats.total().answered);
    }
}
