//! Whole reports, as a person gets them.

use super::*;
use crate::latency::{Distribution, Latencies};
use crate::measure::Measurement;
use crate::record::tests::sample;
use crate::record::{ArgsRecord, Code, Reason, ServerRecord, ServerThread, SloRecord, Verdict};
use crate::wire::Mismatch;

fn shown(measurement: &Measurement) -> String {
    render(&measurement.record, &measurement.latencies, Style::PLAIN)
}

/// Compares with what is expected, and every line with the width of a terminal.
#[track_caller]
fn expect(measurement: &Measurement, expected: &str) {
    let text = shown(measurement);
    assert_eq!(text, expected, "\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert_eq!(line.trim_end(), line, "a blank at the end");
    }
}

#[test]
fn a_good_open_loop_reads_from_top_to_bottom() {
    let expected = "\
VALID

loadgen 127.0.0.1:5555  open loop, 2000 requests/s, poisson arrivals
  64 connections, 1 thread, raw requests of 64 B, pipeline 1024, 20 s after 1 s warm-up, seed 1,
  pacing sleep

  rate    2,000 requests/s of 2,000 offered (100.0 %)   0.12 MiB/s each way

             response                service               lateness                connect
  n            40,000                 40,000                 40,000                     64
  p50          155 µs ±0.3 %          150 µs ±0.3 %         5.00 µs ±0.1 %         32.0 µs ±28 %
  p90          195 µs ±0.2 %          190 µs ±0.2 %         9.00 µs ±0.0 %         58.0 µs ±8.7 %
  p99          205 µs ±0.2 %          199 µs ±0.1 %         9.00 µs ±0.0 %      n/a (needs n >= 368)
  p99.9        208 µs ±0.2 %          200 µs ±0.1 %         9.00 µs ±0.0 %     n/a (needs n >= 3688)
  p99.99       209 µs ±0.1 %          200 µs ±0.0 %         9.00 µs ±0.0 %    n/a (needs n >= 36887)
  max          209 µs                 200 µs                9.00 µs                64.0 µs
  mean         155 µs                 150 µs                5.00 µs                32.5 µs
  ± 95 % confidence interval, ±? not known
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 0.00 % of the requests were
  blocked

  response of answered requests
    100 µs -   125 µs   19.99 %  ████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    5.06 %  █████

  errors: none
  loader cpu per thread: 45 %
";
    expect(&sample::open(), expected);
}

#[test]
fn a_closed_loop_says_in_its_title_that_it_measures_service_times() {
    let expected = "\
VALID

loadgen 127.0.0.1:5555  closed loop, service time
  64 connections, 1 thread, raw requests of 64 B, pipeline 1, 10 s after 1 s warm-up, seed 1, pacing
  sleep

  rate    4,000 requests/s   0.24 MiB/s each way

              service                connect
  n            40,000                     64
  p50          150 µs ±0.3 %         32.0 µs ±28 %
  p90          190 µs ±0.2 %         58.0 µs ±8.7 %
  p99          199 µs ±0.1 %      n/a (needs n >= 368)
  p99.9        200 µs ±0.1 %     n/a (needs n >= 3688)
  p99.99       200 µs ±0.0 %    n/a (needs n >= 36887)
  max          200 µs                64.0 µs
  mean         150 µs                32.5 µs
  ± 95 % confidence interval, ±? not known

  service of answered requests
    100 µs -   125 µs   24.99 %  █████████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    0.06 %  ▏

  errors: none
  loader cpu per thread: 45 %
";
    expect(&sample::closed(), expected);
}

#[test]
fn an_overloaded_server_shows_lower_bounds_and_where_the_loader_stood() {
    let expected = "\
VALID
  - note overloaded: the server could not
  slo p99<1ms  MISSED: at least 6.97 s

loadgen 127.0.0.1:5555  open loop, 2000 requests/s, poisson arrivals
  64 connections, 1 thread, raw requests of 64 B, pipeline 1024, 20 s after 1 s warm-up, seed 1,
  pacing sleep

  rate    2,000 requests/s of 3,000 offered (66.7 %)   0.12 MiB/s each way

  CO-LOCATED: loader and server share processors
             response                service               lateness                connect
  n            60,000                 40,000                 40,000                     64
  p50          180 µs ±0.4 %          150 µs ±0.3 %         5.00 µs ±0.1 %         32.0 µs ±28 %
  p90      >= 6.40 s  ±?              190 µs ±0.2 %         9.00 µs ±0.0 %         58.0 µs ±8.7 %
  p99      >= 6.94 s  ±?              199 µs ±0.1 %         9.00 µs ±0.0 %      n/a (needs n >= 368)
  p99.9    >= 7.00 s  ±?              200 µs ±0.1 %         9.00 µs ±0.0 %     n/a (needs n >= 3688)
  p99.99   >= 7.00 s  ±?              200 µs ±0.0 %         9.00 µs ±0.0 %    n/a (needs n >= 36887)
  max      >= 7.00 s                  200 µs                9.00 µs                64.0 µs
  mean     >= 2.00 s                  150 µs                5.00 µs                32.5 µs
  ± 95 % confidence interval, ±? not known; >= at least: 20,000 requests were never answered and
  count as long as they waited
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 1.25 % of the requests were
  blocked (p99 3.00 s); 1,234 requests were waiting when the window opened

  response of answered requests
    100 µs -   125 µs   19.99 %  ████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    5.06 %  █████

  errors: 0 failed, 0 timed out, 8,000 unanswered at the end, 12,000 never sent, of 60,000 requests
  loader cpu per thread: 45 %
";
    expect(&overloaded(), expected);
}

#[test]
fn errors_are_listed_by_kind_with_advice_and_the_first_wrong_byte() {
    let expected = "\
INVALID  INTERRUPTED: these are partial results
  - nothing-measured: no request was measured: every one was lost, or the run was too short

loadgen 127.0.0.1:5555  closed loop, service time
  64 connections, 1 thread, raw requests of 64 B, pipeline 1, 10 s after 1 s warm-up, seed 1, pacing
  sleep

  rate    0.00 requests/s   0.24 MiB/s each way

              service                connect
  n                 0                      0
  p50        n/a (needs n >= 6)     n/a (needs n >= 6)
  p90       n/a (needs n >= 36)    n/a (needs n >= 36)
  p99      n/a (needs n >= 368)   n/a (needs n >= 368)
  p99.9   n/a (needs n >= 3688)  n/a (needs n >= 3688)
  p99.99 n/a (needs n >= 36887) n/a (needs n >= 36887)
  max             n/a                    n/a
  mean            n/a                    n/a
  ± 95 % confidence interval, ±? not known

  1 request took longer than 60 s: percentiles stop there, the maximum is exact
  errors: 3 failed, 2 timed out, 0 unanswered at the end, 0 never sent, of 40,000 requests
    1 connection got wrong bytes in a reply; is it the right --protocol?
    2 connections silent for the timeout with a reply outstanding; is the server stuck? (--timeout)
    first wrong byte: connection 7, request 12, offset 3: expected 0x0a, got 0xff
    first other error: Network is unreachable
  loader cpu per thread: 45 %
";
    expect(&broken(), expected);
}

#[test]
fn several_runs_are_shown_one_by_one_with_what_the_server_paid() {
    let expected = "\
VALID

loadgen 127.0.0.1:5555  open loop, 2000 requests/s, poisson arrivals
  64 connections, 1 thread, raw requests of 64 B, pipeline 1024, 3 runs of 20 s after 1 s warm-up,
  seeds 1 to 3, pacing sleep

  rate    2,000 requests/s of 2,000 offered (100.0 %)   0.12 MiB/s each way

             response                service               lateness                connect
  n           120,000                120,000                120,000                    192
  p50          155 µs ±0.2 %          150 µs ±0.3 %         5.00 µs ±0.1 %         32.0 µs ±16 %
  p90          195 µs ±0.1 %          190 µs ±0.1 %         9.00 µs ±0.0 %         58.0 µs ±5.2 %
  p99          205 µs ±0.1 %          199 µs ±0.1 %         9.00 µs ±0.0 %      n/a (needs n >= 368)
  p99.9        208 µs ±0.1 %          200 µs ±0.1 %         9.00 µs ±0.0 %     n/a (needs n >= 3688)
  p99.99       209 µs ±0.1 %          200 µs ±0.0 %         9.00 µs ±0.0 %    n/a (needs n >= 36887)
  max          209 µs                 200 µs                9.00 µs                64.0 µs
  mean         155 µs                 150 µs                5.00 µs                32.5 µs
  ± 95 % confidence interval, ±? not known
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 0.00 % of the requests were
  blocked

  response of answered requests
    100 µs -   125 µs   19.99 %  ████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    5.06 %  █████

  run      requests/s     p50      p99   p99.9     max  lost  verdict
  1             2,000  155 µs   205 µs  208 µs  209 µs     0    VALID
  2             2,000  155 µs  2.50 ms     n/a  209 µs    17  SUSPECT
  3             2,000  155 µs   205 µs  208 µs  209 µs     0    VALID
  median        2,000  155 µs   205 µs     n/a  209 µs
  lowest        2,000  155 µs   205 µs     n/a  209 µs
  highest       2,000  155 µs  2.50 ms     n/a  209 µs

  errors: none
  loader cpu per thread: 45 %
  server: 7.25 µs of processor time per request, 0.35 processors busy, 120,000 voluntary and 321
  involuntary switches, 12 MiB resident
    balance 1.30 (busiest thread by the mean): shard-0 65 %, shard-1 35 %
";
    expect(&repeated(), expected);
}

fn reason(code: Code, level: Verdict, text: &str) -> Reason {
    Reason { code, level, text: text.to_owned() }
}

/// Half of the requests are never answered.
fn overloaded() -> Measurement {
    let mut measurement = sample::open();
    let latencies = &mut measurement.latencies;
    (0..20_000_u64)
        .for_each(|n| latencies[Distribution::Unanswered].record(5_000_000_000 + n * 100_000));
    (0..500).for_each(|_| latencies[Distribution::Blocked].record(3_000_000_000));
    let record = &mut measurement.record;
    record.latency_ns = (&*latencies).into();
    record.counters.scheduled = 60_000;
    record.counters.unsent = 12_000;
    record.counters.sent = 48_000;
    record.counters.censored = 8_000;
    record.counters.backlog_at_window = 1_234;
    record.rate.offered_per_s = Some(3_000.0);
    record.env.sharing = Some(Sharing::SharedProcessors);
    record.validity.labels.push(reason(Code::Overloaded, Verdict::Valid, "the server could not"));
    record.slo.push(SloRecord {
        objective: "p99<1ms".to_owned(),
        met: Some(false),
        found: "at least 6.97 s".to_owned(),
    });
    measurement
}

/// Every kind of error at once.
fn broken() -> Measurement {
    let mut measurement = sample::closed();
    measurement.latencies = Latencies::new();
    let record = &mut measurement.record;
    record.latency_ns = (&measurement.latencies).into();
    record.rate.achieved_per_s = 0.0;
    record.interrupted = true;
    record.validity.verdict = Verdict::Invalid;
    record.validity.reasons.push(reason(
        Code::NothingMeasured,
        Verdict::Invalid,
        "no request was measured: every one was lost, or the run was too short",
    ));
    record.counters.failed = 3;
    record.counters.mismatches = 1;
    record.counters.timed_out = 2;
    record.counters.timeouts = 2;
    record.counters.saturated = 1;
    record.runs[0].first_mismatch = Some(Mismatch {
        connection: 7,
        request: 12,
        offset_bytes: 3,
        expected: Some(0x0a),
        got: 0xff,
        note: None,
    });
    record.runs[0].first_other_error = Some("Network is unreachable".to_owned());
    measurement
}

/// Three runs, one of them slower and doubtful, with a server that was watched.
fn repeated() -> Measurement {
    let args = ArgsRecord { runs: 3, ..sample::open_args() };
    let mut measurement = sample::several(&args, 3);
    let record = &mut measurement.record;
    let slow = &mut record.runs[1];
    slow.latency_ns.response.p99 = Some(2_500_000);
    slow.latency_ns.response.p999 = None;
    slow.validity.verdict = Verdict::Suspect;
    slow.counters.completed -= 17;
    let thread = |name: &str, cpu_s| ServerThread {
        name: name.to_owned(),
        cpu_s,
        ..ServerThread::default()
    };
    record.server = Some(ServerRecord {
        wall_s: 60.0,
        cpu_s: 21.0,
        cpu_us_per_request: Some(7.25),
        voluntary_switches: 120_000,
        involuntary_switches: 321,
        rss_bytes: Some(12 * 1024 * 1024),
        threads: vec![thread("main", 0.5), thread("shard-0", 13.0), thread("shard-1", 7.0)],
        ..ServerRecord::default()
    });
    measurement
}
