//! The report on the terminal, made to be read from top to bottom.

use std::fmt::{self, Write as _};

use super::units::{bound, duration, grouped, rate, size, throughput};
use crate::engine::Outcome;
use crate::engine::recorder::Counters;
use crate::latency::{Latency, P50, P90, P99, P999, Percentile};
use crate::record::{ArgsRecord, RunRecord};

/// Above this share of a processor, a loader thread sets the pace itself.
const BUSY_SHARE: f64 = 0.9;

/// Steps of a histogram within one decade, finest first: the series of preferred numbers R10, R5,
/// the steps of coins, whole decades.
const SCALES: [&[u64]; 4] = [
    &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800],
    &[100, 160, 250, 400, 630],
    &[100, 200, 500],
    &[100],
];

const HISTOGRAM_ROWS_MAX: usize = 14;
const BAR_WIDTH_MAX: u64 = 40;

/// The whole report.
pub(super) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    write_report(&mut text, outcome).expect("writing to a string cannot fail");
    text
}

fn write_report(out: &mut String, outcome: &Outcome) -> fmt::Result {
    let record = &outcome.record;
    write_title(out, &record.args)?;
    if record.interrupted {
        writeln!(out, "\n  INTERRUPTED: these are partial results")?;
    }
    if let Some(seconds) = outcome.ended_early_s {
        writeln!(out, "\n  the run ended early, after {seconds:.1} s: no connection was left")?;
    }
    write_rate(out, record)?;
    write_latencies(out, record)?;
    write_histogram(out, &outcome.service)?;
    write_errors(out, outcome)?;
    write_loader(out, record)
}

fn write_title(out: &mut String, args: &ArgsRecord) -> fmt::Result {
    writeln!(out, "loadgen {}  closed loop, service time", args.target)?;
    writeln!(
        out,
        "  {}, {}, {} requests, pipeline {}, {} s after {} s warm-up, seed {}",
        counted(u64::from(args.connections), "connection"),
        counted(u64::from(args.threads), "thread"),
        size(args.size_bytes),
        args.pipeline,
        args.duration_s,
        args.warmup_s,
        args.seed
    )
}

fn write_rate(out: &mut String, record: &RunRecord) -> fmt::Result {
    writeln!(
        out,
        "\n  rate    {} requests/s   {} each way",
        rate(record.rate.achieved_per_s),
        throughput(record.rate.bytes_per_s)
    )
}

fn write_latencies(out: &mut String, record: &RunRecord) -> fmt::Result {
    let (service, connect) = (&record.latency_ns.service, &record.latency_ns.connect);
    writeln!(out)?;
    let mut row = |label: &str, service: &str, connect: &str| {
        let line = format!("  {label:<6}{service:>25}{connect:>25}");
        writeln!(out, "{}", line.trim_end())
    };
    row("", "closed loop, service time", "connect")?;
    row("n", &grouped(service.count), &grouped(connect.count))?;
    row(P50.label, &known(service.p50, P50), &known(connect.p50, P50))?;
    row(P90.label, &known(service.p90, P90), "")?;
    row(P99.label, &known(service.p99, P99), &known(connect.p99, P99))?;
    row(P999.label, &known(service.p999, P999), "")?;
    row("max", &exact(service.max), &exact(connect.max))?;
    row("mean", &exact(service.mean), &exact(connect.mean))
}

/// A percentile, or how many samples it would take.
fn known(ns: Option<u64>, percentile: Percentile) -> String {
    let missing = || format!("n/a (needs n >= {})", percentile.samples_min);
    ns.map_or_else(missing, duration)
}

fn exact(ns: Option<u64>) -> String {
    ns.map_or_else(|| "n/a".to_owned(), duration)
}

/// Values from `from_ns` up to, but not including, `to_ns`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    from_ns: u64,
    to_ns: u64,
    count: u64,
}

fn write_histogram(out: &mut String, service: &Latency) -> fmt::Result {
    let rows = finest_fitting(service);
    let Some(highest) = rows.iter().map(|row| row.count).max() else {
        return Ok(());
    };
    writeln!(out)?;
    for row in &rows {
        let share = match 100.0 * row.count as f64 / service.count() as f64 {
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
fn finest_fitting(service: &Latency) -> Vec<Row> {
    let mut scales = SCALES.into_iter().map(|steps| rows(service, steps));
    let fitting = scales.find(|rows| rows.len() <= HISTOGRAM_ROWS_MAX);
    fitting.unwrap_or_default()
}

/// The distribution in rows of one scale, from the first occupied to the last.
fn rows(service: &Latency, steps: &[u64]) -> Vec<Row> {
    // Nothing real is faster than 100 ns, and the histogram ends before 100 s.
    let decades = (0..=9).map(|power| 10_u64.pow(power));
    let edges = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
    let edges: Vec<u64> = [0].into_iter().chain(edges).collect();
    let mut rows: Vec<Row> =
        edges.windows(2).map(|pair| Row { from_ns: pair[0], to_ns: pair[1], count: 0 }).collect();
    for (value_ns, count) in service.buckets() {
        let row = edges.partition_point(|&edge| edge <= value_ns) - 1;
        rows[row].count += count;
    }
    let occupied = |row: &Row| row.count > 0;
    rows.truncate(rows.iter().rposition(occupied).map_or(0, |last| last + 1));
    rows.drain(..rows.iter().position(occupied).unwrap_or(0));
    rows
}

/// A bar whose length is in proportion; anything at all is at least visible.
fn bar(count: u64, highest: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let length = u128::from(count) * u128::from(BAR_WIDTH_MAX) * 8 / u128::from(highest.max(1));
    let eighths = usize::try_from(length).expect("a bar is short");
    let eighths = eighths.max(usize::from(count > 0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn write_errors(out: &mut String, outcome: &Outcome) -> fmt::Result {
    let (record, counters) = (&outcome.record, &outcome.record.counters);
    writeln!(out)?;
    if counters.measured == 0 {
        writeln!(out, "  no request was measured: every one was lost, or the run was too short")?;
    }
    if counters.saturated > 0 {
        let slow = counted(counters.saturated, "request");
        writeln!(
            out,
            "  {slow} took longer than 60 s: percentiles stop there, the maximum is exact"
        )?;
    }
    if !counters.has_errors() {
        return writeln!(out, "  errors: none");
    }
    writeln!(
        out,
        "  errors: {} failed, {} unanswered at the end (censored), of {} sent",
        grouped(counters.failed),
        grouped(counters.censored),
        grouped(counters.sent)
    )?;
    for (connections, what) in kinds(counters) {
        if connections > 0 {
            writeln!(out, "    {} {what}", counted(connections, "connection"))?;
        }
    }
    if let Some(mismatch) = &record.first_mismatch {
        let expected = match mismatch.expected {
            Some(byte) => format!("expected 0x{byte:02x}"),
            None => "expected nothing".to_owned(),
        };
        writeln!(
            out,
            "    first wrong byte: connection {}, request {}, offset {}: {expected}, got 0x{:02x}",
            mismatch.connection, mismatch.request, mismatch.offset_bytes, mismatch.got
        )?;
    }
    if let Some(error) = &outcome.first_other_error {
        writeln!(out, "    first other error: {error}")?;
    }
    Ok(())
}

/// How many connections each kind of error has cost, and what it suggests.
fn kinds(counters: &Counters) -> [(u64, &'static str); 5] {
    [
        (counters.mismatches, "got back other bytes than were sent; is it an echo server?"),
        (
            counters.closed_by_server,
            "closed by the server; look into its log or its connection limit",
        ),
        (counters.resets, "reset by the server; did it crash or restart?"),
        (
            counters.timeouts,
            "silent for the timeout while owing a reply; is the server stuck? (--timeout)",
        ),
        (counters.other_errors, "lost to other errors"),
    ]
}

fn write_loader(out: &mut String, record: &RunRecord) -> fmt::Result {
    let shares = || record.threads.iter().map(|thread| thread.cpu_share);
    let percents: Vec<String> = shares().map(percent).collect();
    writeln!(out, "  loader cpu per thread: {}", percents.join(", "))?;
    // Threads that share too few processors are each half idle and yet at the limit.
    let of_all = shares().sum::<f64>() / record.env.cpus.unwrap_or(usize::MAX) as f64;
    let busiest = shares().fold(of_all, f64::max);
    if busiest > BUSY_SHARE {
        writeln!(
            out,
            "  WARNING: the loader is busy ({}): the rate is the loader's limit, not necessarily \
             the server's",
            percent(busiest)
        )?;
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// "1 thread", "2 threads".
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::recorder::Mismatch;
    use crate::environment::Environment;
    use crate::latency::tests::latency_of;
    use crate::record::{LatenciesRecord, RateRecord, SCHEMA, ThreadRecord};

    fn outcome(service: Latency) -> Outcome {
        let measured = service.count();
        Outcome {
            record: RunRecord {
                schema: SCHEMA,
                args: ArgsRecord {
                    target: "127.0.0.1:5555".to_owned(),
                    connections: 64,
                    threads: 1,
                    size_bytes: 64,
                    pipeline: 1,
                    duration_s: 10.0,
                    warmup_s: 1.0,
                    timeout_s: 5.0,
                    seed: 1,
                    mode: "closed",
                },
                env: Environment::capture(),
                rate: RateRecord::closed_loop(measured, 64, 10.0),
                latency_ns: LatenciesRecord {
                    service: (&service).into(),
                    connect: (&latency_of((1..=64).map(|n| n * 1_000))).into(),
                },
                counters: Counters {
                    sent: measured,
                    completed: measured,
                    measured,
                    ..Counters::default()
                },
                threads: vec![ThreadRecord {
                    connections: 64,
                    completed: measured,
                    cpu_s: 5.0,
                    wall_s: 11.0,
                    cpu_share: 5.0 / 11.0,
                }],
                first_mismatch: None,
                interrupted: false,
            },
            service,
            ended_early_s: None,
            first_other_error: None,
        }
    }

    #[test]
    fn the_report_of_a_good_run_reads_from_top_to_bottom() {
        let text = render(&outcome(latency_of((0..2_000).map(|n| 20_000 + n * 10))));
        let expected = "\
loadgen 127.0.0.1:5555  closed loop, service time
  64 connections, 1 thread, 64 B requests, pipeline 1, 10 s after 1 s warm-up, seed 1

  rate    200 requests/s   0.01 MiB/s each way

        closed loop, service time                  connect
  n                         2,000                       64
  p50                     30.0 µs                  32.0 µs
  p90                     38.0 µs
  p99                     39.8 µs     n/a (needs n >= 368)
  p99.9     n/a (needs n >= 3688)
  max                     40.0 µs                  64.0 µs
  mean                    30.0 µs                  32.5 µs

     20 µs -    25 µs   25.00 %  ███████████████████████▌
     25 µs -  31.5 µs   32.45 %  ██████████████████████████████▌
   31.5 µs -    40 µs   42.55 %  ████████████████████████████████████████

  errors: none
  loader cpu per thread: 45 %
";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn errors_are_listed_by_kind_with_advice_and_the_first_wrong_byte() {
        let mut outcome = outcome(latency_of([]));
        outcome.record.counters.failed = 3;
        outcome.record.counters.mismatches = 1;
        outcome.record.counters.timeouts = 2;
        outcome.record.first_mismatch = Some(Mismatch {
            connection: 7,
            request: 12,
            offset_bytes: 3,
            expected: Some(0x0a),
            got: 0xff,
        });
        let text = render(&outcome);
        assert!(text.contains("1 connection got back other bytes"), "{text}");
        assert!(text.contains("2 connections silent for the timeout"), "{text}");
        let located = "connection 7, request 12, offset 3: expected 0x0a, got 0xff";
        assert!(text.contains(located), "{text}");
        assert!(!text.contains("reset by the server"), "{text}");
        assert!(text.contains("no request was measured"), "{text}");
    }

    #[test]
    fn a_busy_loader_is_warned_about() {
        let mut outcome = outcome(latency_of([1_000]));
        outcome.record.threads[0].cpu_share = 0.91;
        assert!(render(&outcome).contains("WARNING: the loader is busy (91 %)"));
        outcome.record.threads[0].cpu_share = 0.9;
        outcome.record.env.cpus = Some(2);
        assert!(!render(&outcome).contains("WARNING"));
    }

    #[test]
    fn threads_that_fill_the_one_processor_they_share_are_busy_too() {
        let mut outcome = outcome(latency_of([1_000]));
        outcome.record.threads = vec![outcome.record.threads[0].clone(); 2];
        outcome.record.env.cpus = Some(2);
        assert!(!render(&outcome).contains("WARNING"));
        outcome.record.env.cpus = Some(1);
        assert!(render(&outcome).contains("WARNING: the loader is busy (91 %)"));
    }

    #[test]
    fn partial_results_say_so() {
        let mut outcome = outcome(latency_of([1_000]));
        outcome.record.interrupted = true;
        assert!(render(&outcome).contains("INTERRUPTED: these are partial results"));
        outcome.ended_early_s = Some(1.25);
        assert!(render(&outcome).contains("ended early, after 1.2 s"));
    }

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
        assert!(finest_fitting(&wide).len() <= HISTOGRAM_ROWS_MAX);
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
