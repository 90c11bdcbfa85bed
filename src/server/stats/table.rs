//! The table at the end of a run: a line per shard and the total, in aligned columns.

use std::fmt;

use super::{ServerStats, ShardStats, Timing};

const COLUMNS: [(&str, usize); 11] = [
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
    ("lag-p99", 7),
];

type Line = [String; COLUMNS.len()];

/// Columns are separated by spaces and contain none. `bytes` are those read. The last line is the
/// total. A `-` is an unknown value.
impl fmt::Display for ServerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |line: Line| -> fmt::Result {
            for (index, (cell, (_, width))) in line.iter().zip(COLUMNS).enumerate() {
                let gap = if index == 0 { "" } else { "  " };
                write!(f, "{gap}{cell:>width$}")?;
            }
            writeln!(f)
        };
        write(COLUMNS.map(|(name, _)| name.to_owned()))?;
        for (number, shard) in self.shards.iter().enumerate() {
            write(line(number.to_string(), shard))?;
        }
        write(line("total".to_owned(), &self.total()))
    }
}

fn line(name: String, shard: &ShardStats) -> Line {
    [
        name,
        shard.core.map_or_else(|| "-".to_owned(), |core| core.to_string()),
        shard.connections.to_string(),
        shard.reads.to_string(),
        shard.bytes_in.to_string(),
        shard.errors.total().to_string(),
        shard.waits.to_string(),
        format!("{:.2}", shard.events as f64 / shard.waits.max(1) as f64),
        shard.wakes_sent.to_string(),
        shard.wakes_suppressed.to_string(),
        p99(&shard.timings.loop_lag),
    ]
}

fn p99(timing: &Timing) -> String {
    let found = timing.percentiles();
    if found.count == 0 { "-".to_owned() } else { duration(found.p99) }
}

/// A time in at most six characters, in the unit that suits it.
fn duration(nanoseconds: u64) -> String {
    let time = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{:.1}us", time / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", time / 1e6),
        _ => format!("{:.1}s", time / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn the_table_has_a_line_per_shard_and_a_total_under_aligned_columns() {
        let mut one =
            ShardStats { core: Some(3), reads: 7, waits: 2, events: 5, ..Default::default() };
        one.errors.idle = 4;
        one.timings.loop_lag.record(12_300);
        let two = ShardStats { reads: 5, bytes_in: 1 << 40, ..Default::default() };
        let text = ServerStats { shards: vec![one, two], ..Default::default() }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[0].len() <= 130, "{text}");
        assert_eq!(fields(lines[0]), COLUMNS.map(|(name, _)| name));
        assert_eq!(fields(lines[1])[..4], ["0", "3", "0", "7"]);
        assert_eq!(fields(lines[1])[5], "4");
        assert_eq!(fields(lines[1])[7], "2.50");
        assert_eq!(fields(lines[1])[10], "12.4us");
        assert_eq!(fields(lines[2])[10], "-");
        assert_eq!(fields(lines[3])[..5], ["total", "-", "0", "12", "1099511627776"]);
    }

    #[test]
    fn a_time_has_the_unit_that_suits_it() {
        let shown = [999, 1_000, 999_900, 25_000_000, 60_000_000_000].map(duration);
        assert_eq!(shown, ["999ns", "1.0us", "999.9us", "25.0ms", "60.0s"]);
    }
}
