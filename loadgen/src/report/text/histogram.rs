//! The shape of the distribution, as bars.

use std::fmt::{self, Write as _};

use crate::latency::Latency;
use crate::units::bound;

/// Steps of a histogram within one decade, finest first: the series of preferred numbers R10, R5,
/// the steps of coins, whole decades.
const SCALES: [&[u64]; 4] = [
    &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800],
    &[100, 160, 250, 400, 630],
    &[100, 200, 500],
    &[100],
];

const ROWS_MAX: usize = 14;
const BAR_WIDTH_MAX: u64 = 40;

/// Values from `from_ns` up to, but not including, `to_ns`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    from_ns: u64,
    to_ns: u64,
    count: u64,
}

/// Bars for what was answered; nothing for nothing.
pub(super) fn write(out: &mut String, name: &str, latency: &Latency) -> fmt::Result {
    let rows = finest_fitting(latency);
    let Some(highest) = rows.iter().map(|row| row.count).max() else {
        return Ok(());
    };
    writeln!(out, "\n  {name} of answered requests")?;
    for row in &rows {
        let share = match 100.0 * row.count as f64 / latency.count() as f64 {
            tiny if row.count > 0 && tiny < 0.01 => "< 0.01".to_owned(),
            share => format!("{share:.2}"),
        };
        writeln!(
            out,
            "  {:>8} - {:>8}  {share:>6} %  {}",
            bound(row.from_ns),
            bound(row.to_ns),
            bar(row.count, highest)
        )?;
    }
    Ok(())
}

/// The rows of the finest scale that does not need too many.
fn finest_fitting(latency: &Latency) -> Vec<Row> {
    let mut scales = SCALES.into_iter().map(|steps| rows(latency, steps));
    let fitting = scales.find(|rows| rows.len() <= ROWS_MAX);
    fitting.unwrap_or_default()
}

/// The distribution in rows of one scale, from the first occupied to the last.
fn rows(latency: &Latency, steps: &[u64]) -> Vec<Row> {
    // Nothing real is faster than 100 ns, and the histogram ends before 100 s.
    let decades = (0..=9).map(|power| 10_u64.pow(power));
    let edges = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
    let edges: Vec<u64> = [0].into_iter().chain(edges).collect();
    let mut rows: Vec<Row> =
        edges.windows(2).map(|pair| Row { from_ns: pair[0], to_ns: pair[1], count: 0 }).collect();
    for (value_ns, count) in latency.buckets() {
        let row = edges.partition_point(|&edge| edge <= value_ns) - 1;
        rows[row].count += count;
    }
    let occupied = |row: &Row| row.count > 0;
    rows.truncate(rows.iter().rposition(occupied).map_or(0, |last| last + 1));
    rows.drain(..rows.iter().position(occupied).unwrap_or(0));
    rows
}

/// A bar of proportional length; every count above 0 is visible.
fn bar(count: u64, highest: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let length = u128::from(count) * u128::from(BAR_WIDTH_MAX) * 8 / u128::from(highest.max(1));
    let eighths = usize::try_from(length).expect("a bar is short");
    let eighths = eighths.max(usize::from(count > 0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::tests::latency_of;

    #[test]
    fn rows_hold_every_value_once_on_every_scale() {
        let latency = latency_of((0..40).map(|n| 3_u64.pow(n % 23) * 7));
        for steps in SCALES {
            let rows = rows(&latency, steps);
            assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 40);
            assert!(rows[0].count > 0 && rows[rows.len() - 1].count > 0);
        }
    }

    #[test]
    fn a_wide_distribution_gets_a_coarser_scale() {
        let wide = latency_of([150, 1_000_000, 59_000_000_000]);
        assert!(finest_fitting(&wide).len() <= ROWS_MAX);
        assert_eq!(finest_fitting(&latency_of([])), []);
        assert_eq!(finest_fitting(&latency_of([21_000, 24_000])).len(), 1);
    }

    #[test]
    fn bars_are_in_proportion_and_never_vanish() {
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(100, 100).chars().count(), 40);
        assert_eq!(bar(50, 100).chars().count(), 20);
    }
}
