//! The replies by status, and the latencies of each class of replies.

use std::fmt::{self, Write as _};

use super::{Columns, WIDTH, wrap};
use crate::record::{LatencyRecord, Record};
use crate::units::{duration, grouped};

/// Of more status codes than this, only the number is shown.
const CODES_SHOWN: usize = 16;

/// The number of replies with each status; a table of the classes where replies differ in it.
pub(super) fn write_statuses(out: &mut String, record: &Record) -> fmt::Result {
    let statuses = &record.statuses;
    let codes: Vec<(u16, u64)> = statuses.codes.iter().collect();
    let differ = statuses.latency_ns.len() > 1 || record.counters.unexpected_status > 0;
    if differ && !statuses.latency_ns.is_empty() {
        writeln!(out)?;
        let mut columns = Columns::default();
        columns.row(["replies", "n", "p50", "p90", "p99", "max"].map(String::from));
        for (class, latency) in &statuses.latency_ns {
            columns.row(row(class, latency));
        }
        columns.lines().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    if codes.is_empty() {
        return Ok(());
    }
    let shown = codes.iter().take(CODES_SHOWN);
    let shown: Vec<String> =
        shown.map(|(code, count)| format!("{code}: {}", grouped(*count))).collect();
    let more = match codes.len() {
        0..=CODES_SHOWN => String::new(),
        count => format!(", {} more", count - CODES_SHOWN),
    };
    if !differ {
        writeln!(out)?;
    }
    let text = format!("replies by status, warm-up included: {}{more}", shown.join(", "));
    out.write_str(&wrap("  ", &text, WIDTH))
}

fn row(class: &str, latency: &LatencyRecord) -> [String; 6] {
    let of = |ns: Option<u64>| ns.map_or_else(|| "n/a".to_owned(), duration);
    let LatencyRecord { count, p50, p90, p99, max, .. } = latency;
    let class = class.replace('_', " ");
    [class, grouped(*count), of(*p50), of(*p90), of(*p99), of(*max)]
}
