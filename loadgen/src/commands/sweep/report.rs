//! The summary as a table: for a terminal, and in Markdown.

use super::record::{CellRecord, Spread, Summary, SweepRecord};
use crate::units;

const CO_LOCATED: &str = "CO-LOCATED: loader and server share processors; both are slower for it.";

/// As text for a terminal.
pub(super) fn text(record: &SweepRecord) -> String {
    let rows = rows(record);
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = heading(record);
    text.push('\n');
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// As a table in Markdown.
pub(super) fn markdown(record: &SweepRecord) -> String {
    let rows = rows(record);
    let mut text = heading(record);
    text.push('\n');
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if at == 0 {
            text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
        }
    }
    text
}

/// The verdict on all of it, and what a reader must know of every number.
fn heading(record: &SweepRecord) -> String {
    let count =
        |of: fn(&Summary) -> usize| record.cells.iter().map(|c| of(&c.summary)).sum::<usize>();
    let (runs, invalid) = (count(|s| s.runs), count(|s| s.invalid));
    let (suspect, errors) = (count(|s| s.suspect), count(|s| s.with_errors));
    let mut text = format!(
        "{} runs: {} VALID, {suspect} SUSPECT, {invalid} INVALID",
        runs,
        count(|s| s.valid)
    );
    if errors > 0 {
        text.push_str(&format!("; {errors} with failed requests"));
    }
    if !record.complete {
        text.push_str("; NOT COMPLETE: the same command goes on");
    }
    text.push('\n');
    if record.co_located {
        text.push_str(CO_LOCATED);
        text.push('\n');
    }
    text + "Medians of the runs of each cell, with their range; response times from the intended \
            send, in a closed loop service times.\n"
}

/// The table's cells, its head first. Columns that no row knows anything for are left out.
fn rows(record: &SweepRecord) -> Vec<Vec<String>> {
    let mut head: Vec<String> = record.plan.variables.iter().map(|v| v.name.clone()).collect();
    let numbers = ["rate", "p50", "p99", "p99.9", "server CPU/request", "busiest/mean", "verdicts"];
    head.extend(numbers.map(str::to_owned));
    let has_objectives = !record.plan.args.slo.is_empty();
    if has_objectives {
        head.push("objectives".to_owned());
    }
    let mut rows = vec![head];
    rows.extend(record.cells.iter().map(|cell| row(cell, has_objectives)));
    let is_empty = |at: usize| rows[1..].iter().all(|row| row[at] == NOTHING);
    let kept: Vec<usize> = (0..rows[0].len()).filter(|&at| !is_empty(at)).collect();
    rows.iter().map(|row| kept.iter().map(|&at| row[at].clone()).collect()).collect()
}

const NOTHING: &str = "n/a";

fn row(cell: &CellRecord, has_objectives: bool) -> Vec<String> {
    let summary = &cell.summary;
    let mut row: Vec<String> = cell.settings.iter().map(|s| s.value.clone()).collect();
    let duration = |ns: f64| units::duration(ns.round() as u64).trim_end().to_owned();
    let times = [summary.p50_ns, summary.p99_ns, summary.p999_ns];
    row.push(spread(Some(summary.achieved_per_s), |per_s| units::rate(per_s) + "/s"));
    row.extend(times.map(|time| spread(time, duration)));
    row.push(spread(summary.server_cpu_us_per_request, |us| duration(us * 1e3)));
    row.push(spread(summary.balance, |ratio| format!("{ratio:.2}")));
    row.push(verdicts(summary));
    if has_objectives {
        row.push(match summary.missed {
            Some(0) => "met".to_owned(),
            Some(missed) => format!("MISSED in {missed} of {}", summary.runs),
            None => NOTHING.to_owned(),
        });
    }
    row
}

fn spread(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    let Some(Spread { median, least, most }) = spread else { return NOTHING.to_owned() };
    if least == most {
        return show(median);
    }
    format!("{} ({}..{})", show(median), show(least), show(most))
}

fn verdicts(summary: &Summary) -> String {
    let counts =
        [(summary.valid, "VALID"), (summary.suspect, "SUSPECT"), (summary.invalid, "INVALID")];
    let there = counts.iter().filter(|(count, _)| *count > 0);
    let mut words: Vec<String> = there.map(|(count, word)| format!("{count} {word}")).collect();
    if summary.with_errors > 0 {
        words.push(format!("{} with errors", summary.with_errors));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::super::row::tests::row;
    use super::super::sweep_plan::tests::plan;
    use super::*;

    fn record(flags: &str, rows: &[Row]) -> SweepRecord {
        SweepRecord::new(&plan(flags).unwrap(), None, rows)
    }

    #[test]
    fn every_cell_is_a_row_with_median_and_range() {
        let rows = [row(0, 1, 1_000.0, 5_000), row(0, 2, 3_000.0, 7_000), row(1, 1, 9.0, 1_000)];
        let text = text(&record("--var size=10,20 --runs 2", &rows));
        assert!(text.starts_with("3 runs: 3 VALID, 0 SUSPECT, 0 INVALID; NOT COMPLETE"), "{text}");
        assert!(
            text.contains("10    2,000/s (1,000/s..3,000/s)  6.00 µs (5.00 µs..7.00 µs)"),
            "{text}"
        );
        assert!(text.contains("20    9.00/s"), "{text}");
        assert!(!text.contains("p99.9"), "nothing is known of it: {text}");
    }

    #[test]
    fn missed_objectives_and_shared_processors_are_shown_prominently() {
        let missed = Row { slo_met: Some(false), co_located: true, ..row(0, 1, 1.0, 5) };
        let record = record("--var size=10 --runs 1 --slo p99<1ms", &[missed]);
        for text in [text(&record), markdown(&record)] {
            assert!(text.contains("CO-LOCATED") && text.contains("MISSED in 1 of 1"), "{text}");
        }
    }

    #[test]
    fn markdown_has_a_line_under_its_head() {
        let text = markdown(&record("--var size=10 --runs 1", &[row(0, 1, 1.0, 5)]));
        assert!(
            text.contains("| size | rate | p99 | verdicts |\n|---|---|---|---|\n| 10 |"),
            "{text}"
        );
    }
}
