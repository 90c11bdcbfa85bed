//! What each thread counted, and the table that is made of it.
//!
//! Counters are plain integers owned by the thread that counts; they meet only here, when the
//! threads have ended.

use std::fmt;

use super::stats::{GateStats, ShardStats};

/// One shard's numbers, from start to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// The core it was pinned to.
    pub core: Option<usize>,
    /// Connections it adopted.
    pub connections: u64,
    /// Reads that returned data.
    pub reads: u64,
    /// Bytes read, all of them echoed unless the connection failed.
    pub bytes: u64,
    /// Connections that ended by an error, or were cut while bytes were owed, instead of by the
    /// peer's end of stream.
    pub errors: u64,
    /// Waits of its event base.
    pub waits: u64,
    /// Ready descriptors that those waits reported.
    pub events: u64,
    /// Eventfd writes that woke it.
    pub wakes_sent: u64,
    /// Notifications that found it awake and cost no system call.
    pub wakes_suppressed: u64,
    /// Times it was notified and found nothing in its queue.
    pub wakes_spurious: u64,
}

/// What a server did, from [`Server::drain`](super::Server::drain). Displays as a table with
/// a line per shard, columns separated by spaces, the last line the total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// One entry per worker, in their order.
    pub shards: Vec<ShardReport>,
    /// How often accepting paused for want of descriptors or memory.
    pub accept_pauses: u64,
}

impl ServerReport {
    pub(super) fn new(gates: &[GateStats], workers: Vec<ShardStats>) -> Self {
        let shard = |(number, worker): (usize, ShardStats)| ShardReport {
            core: worker.core,
            connections: worker.connections,
            reads: worker.reads,
            bytes: worker.bytes_in,
            errors: worker.errors.total(),
            waits: worker.waits,
            events: worker.events,
            wakes_sent: gates.iter().map(|gate| gate.wakes_sent[number]).sum(),
            wakes_suppressed: gates.iter().map(|gate| gate.wakes_suppressed[number]).sum(),
            wakes_spurious: worker.wakes_spurious,
        };
        let shards = workers.into_iter().enumerate().map(shard).collect();
        Self { shards, accept_pauses: gates.iter().map(|gate| gate.pauses_exhausted).sum() }
    }

    /// All shards added up.
    #[must_use]
    pub fn total(&self) -> ShardReport {
        self.shards.iter().fold(ShardReport::default(), |sum, shard| ShardReport {
            core: None,
            connections: sum.connections + shard.connections,
            reads: sum.reads + shard.reads,
            bytes: sum.bytes + shard.bytes,
            errors: sum.errors + shard.errors,
            waits: sum.waits + shard.waits,
            events: sum.events + shard.events,
            wakes_sent: sum.wakes_sent + shard.wakes_sent,
            wakes_suppressed: sum.wakes_suppressed + shard.wakes_suppressed,
            wakes_spurious: sum.wakes_spurious + shard.wakes_spurious,
        })
    }
}

const COLUMNS: [(&str, usize); 10] = [
    ("shard", 5),
    ("core", 4),
    ("connections", 11),
    ("reads", 12),
    ("bytes", 15),
    ("errors", 6),
    ("waits", 12),
    ("events/wait", 11),
    ("wakes-sent", 10),
    ("wakes-suppressed", 16),
];

impl ShardReport {
    fn cells(&self, name: String) -> [String; COLUMNS.len()] {
        [
            name,
            self.core.map_or_else(|| "-".to_owned(), |core| core.to_string()),
            self.connections.to_string(),
            self.reads.to_string(),
            self.bytes.to_string(),
            self.errors.to_string(),
            self.waits.to_string(),
            format!("{:.2}", self.events as f64 / self.waits.max(1) as f64),
            self.wakes_sent.to_string(),
            self.wakes_suppressed.to_string(),
        ]
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |cells: [String; COLUMNS.len()]| -> fmt::Result {
            for (place, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
                let gap = if place == 0 { "" } else { "  " };
                write!(f, "{gap}{cell:>width$}")?;
            }
            writeln!(f)
        };
        line(COLUMNS.map(|(name, _)| name.to_owned()))?;
        for (number, shard) in self.shards.iter().enumerate() {
            line(shard.cells(number.to_string()))?;
        }
        line(self.total().cells("total".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_shard_and_a_total_under_aligned_columns() {
        let one =
            ShardReport { core: Some(3), reads: 7, waits: 2, events: 5, ..Default::default() };
        let two = ShardReport { reads: 5, bytes: 1 << 40, ..Default::default() };
        let report = ServerReport { shards: vec![one, two], accept_pauses: 0 };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(fields(lines[0]), COLUMNS.map(|(name, _)| name));
        assert_eq!(fields(lines[1])[..4], ["0", "3", "0", "7"]);
        assert_eq!(fields(lines[1])[7], "2.50");
        assert_eq!(fields(lines[3])[..5], ["total", "-", "0", "12", "1099511627776"]);
    }
}
