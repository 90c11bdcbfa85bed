//! Whole reports, as a person gets them.

use super::*;
use crate::environment::Sharing;
use crate::latency::{Distribution, Latencies, ReplyClass};
use crate::measure::Measurement;
use crate::record::tests::sample;
use crate::record::{
    ArgsRecord, Code, Decision, LoaderPart, Reason, ServerRecord, ServerThread, SloRecord,
    StatusCounts, StatusesRecord, TextValue, Verdict,
};
use crate::wire::{Mismatch, UnexpectedReply};

/// The report; unless the measurement says otherwise, of a server with processors of its own.
fn shown(measurement: &Measurement) -> String {
    let mut record = measurement.record.clone();
    record.env.sharing.get_or_insert(Sharing::SeparateProcessors);
    render(&record, &measurement.latencies, Style::PLAIN)
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

  rate    2,000 requests/s of 2,000 offered (100.0 %)   sent 0.12 MiB/s, received 0.12 MiB/s

            response                          service                         lateness      connect
  n           40,000                           40,000                           40,000           64
  p50         155 µs [154, 156 µs]             150 µs [149, 151 µs]            5.00 µs      32.0 µs
  p90         195 µs [195, 195 µs]             190 µs [190, 190 µs]            9.00 µs      58.0 µs
  p99         205 µs [205, 206 µs]             199 µs [199, 199 µs]            9.00 µs          n/a
  p99.9       208 µs [208, 209 µs]             200 µs [200, 200 µs]            9.00 µs          n/a
  p99.99      209 µs [209, 209 µs]             200 µs [200, 200 µs]            9.00 µs          n/a
  max         209 µs                           200 µs                          9.00 µs      64.0 µs
  mean        155 µs                           150 µs                          5.00 µs      32.5 µs
  [ ] 95 % confidence interval; effective sample size: p50 38,439, p90 37,835, p99 38,439, p99.9
  38,401, p99.99 38,325
  n/a, or no row: too few samples (n); p99 needs 368, p99.9 needs 3,688, p99.99 needs 36,887
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 0.00 % of the requests were
  blocked

  response times of answered requests
    100 µs -   125 µs   19.99 %  ████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    5.06 %  █████

  errors: none
  loader CPU per thread: 45 %
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

  rate    4,000 requests/s   sent 0.24 MiB/s, received 0.24 MiB/s

             service                          connect
  n           40,000                               64
  p50         150 µs [149, 151 µs]            32.0 µs
  p90         190 µs [190, 190 µs]            58.0 µs
  p99         199 µs [199, 199 µs]                n/a
  p99.9       200 µs [200, 200 µs]                n/a
  p99.99      200 µs [200, 200 µs]                n/a
  max         200 µs                          64.0 µs
  mean        150 µs                          32.5 µs
  [ ] 95 % confidence interval; effective sample size: p50 38,439, p90 35,919, p99 38,439, p99.9
  38,401, p99.99 38,325
  n/a, or no row: too few samples (n); p99 needs 368, p99.9 needs 3,688, p99.99 needs 36,887

  service times of answered requests
    100 µs -   125 µs   24.99 %  █████████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    0.06 %  ▏

  errors: none
  loader CPU per thread: 45 %
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

  rate    2,000 requests/s of 3,000 offered (66.7 %)   sent 0.12 MiB/s, received 0.12 MiB/s

  CO-LOCATED: loader and server share processors: latencies contain both, and the rate is that of
  both together; use another machine, or separate cores (--pin)
            response                          service                         lateness      connect
  n           60,000                           40,000                           40,000           64
  p50         180 µs                           150 µs                          5.00 µs      32.0 µs
  p90     >= 6.40 s                            190 µs                          9.00 µs      58.0 µs
  p99     >= 6.94 s                            199 µs                          9.00 µs          n/a
  p99.9   >= 7.00 s                            200 µs                          9.00 µs          n/a
  p99.99  >= 7.00 s                            200 µs                          9.00 µs          n/a
  max     >= 7.00 s                            200 µs                          9.00 µs      64.0 µs
  mean    >= 2.00 s                            150 µs                          5.00 µs      32.5 µs
  [ ] 95 % confidence interval; >= at least: the time that 20,000 requests without a right reply had
  waited
  n/a, or no row: too few samples (n); p99 needs 368, p99.9 needs 3,688, p99.99 needs 36,887
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 1.25 % of the requests were
  blocked (p99 3.00 s); 1,234 requests waited when the window opened

  response times of answered requests
    100 µs -   125 µs   19.99 %  ████████████████████
    125 µs -   160 µs   35.01 %  ███████████████████████████████████
    160 µs -   200 µs   39.94 %  ████████████████████████████████████████
    200 µs -   250 µs    5.06 %  █████

  errors: 0 of 60,000 requests failed; 8,000 unanswered at the end; 12,000 never sent
  loader CPU per thread: 45 %
";
    expect(&overloaded(), expected);
}

#[test]
fn errors_are_listed_by_kind_with_advice_and_the_first_wrong_byte() {
    let expected = "\
INVALID  INTERRUPTED: these are partial results
  - nothing-measured: no request was measured: every one failed, or the run was too short

loadgen 127.0.0.1:5555  closed loop, service time
  64 connections, 1 thread, raw requests of 64 B, pipeline 1, 10 s after 1 s warm-up, seed 1, pacing
  sleep

  rate    0.00 requests/s   sent 0.24 MiB/s, received 0.24 MiB/s

             service                          connect
  n                0                                0
  max            n/a                              n/a
  mean           n/a                              n/a
  [ ] 95 % confidence interval
  n/a, or no row: too few samples (n); p50 needs 6, p90 needs 36, p99 needs 368, p99.9 needs 3,688,
  p99.99 needs 36,887

  1 request took longer than 60 s: percentiles stop there, the maximum is exact
  errors: 5 of 40,000 requests failed: 3 on a lost connection, 2 timed out
    1 connection got wrong bytes in a reply; is it the right --protocol?
    2 connections silent for the timeout with a reply outstanding; is the server stuck? (--timeout)
    first wrong byte: connection 7, request 12, offset 3: expected 0x0a, got 0xff
    first other error: Network is unreachable
  loader CPU per thread: 45 %
";
    expect(&broken(), expected);
}

#[test]
fn replies_with_an_unexpected_status_are_shown_by_class_and_the_first_is_quoted() {
    let measurement = unexpected();
    let text = shown(&measurement);
    let from = text.find("replies       n").unwrap();
    let expected = "\
replies       n      p50      p90      p99      max
  2xx      36,000   150 µs   190 µs   199 µs   200 µs
  5xx         400  50.0 µs  50.0 µs  50.0 µs  50.0 µs
  replies by status, warm-up included: 200: 39,600, 503: 400

  errors: 402 of 40,000 requests failed: 400 with an unexpected reply, 2 with a changed body
    first unexpected reply (--expect-status 2xx,3xx): connection 7, request 12: the server said
    'HTTP/1.1 503 Busy', 'try later'
    first changed body: connection 1, request 2, offset 60: expected 0x61, got 0x62 (the body
    differs)
  loader CPU per thread: 45 %
";
    assert_eq!(&text[from..], expected, "\n{text}");
    assert!(text.contains("64 connections, 1 thread, http requests for /a?b=c, pipeline 1"));
}

#[test]
fn several_runs_are_shown_one_by_one_with_what_the_server_paid() {
    let expected = "\
VALID

loadgen 127.0.0.1:5555  open loop, 2000 requests/s, poisson arrivals
  64 connections, 1 thread, raw requests of 64 B, pipeline 1024, 3 runs of 20 s after 1 s warm-up,
  seeds 1 to 3, pacing sleep

  rate    2,000 requests/s of 2,000 offered (100.0 %)   sent 0.12 MiB/s, received 0.12 MiB/s

            response                          service                         lateness      connect
  n          120,000                          120,000                          120,000          192
  p50         155 µs [155, 155 µs]             150 µs [150, 150 µs]            5.00 µs      32.0 µs
  p90         195 µs [195, 195 µs]             190 µs [190, 190 µs]            9.00 µs      58.0 µs
  p99         205 µs [205, 205 µs]             199 µs [199, 199 µs]            9.00 µs          n/a
  p99.9       208 µs [208, 208 µs]             200 µs [200, 200 µs]            9.00 µs          n/a
  p99.99      209 µs [209, 209 µs]             200 µs [200, 200 µs]            9.00 µs          n/a
  max         209 µs                           200 µs                          9.00 µs      64.0 µs
  mean        155 µs                           150 µs                          5.00 µs      32.5 µs
  [ ] 95 % confidence interval; effective sample size: p50 118,444, p90 117,815, p99 102,501, p99.9
  116,923, p99.99 118,326
  n/a, or no row: too few samples (n); p99 needs 368, p99.9 needs 3,688, p99.99 needs 36,887
  the loader's own lateness: p99 9.00 µs, p99.9 9.00 µs, max 9.00 µs; 0.00 % of the requests were
  blocked

  response times of answered requests
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
  loader CPU per thread: 45 %
  server: 7.25 µs of processor time per request, 0.35 processors busy, 120,000 voluntary switches
  and 321 involuntary switches, 12 MiB resident
    balance 1.30 (busiest thread divided by the mean): shard-0 65 %, shard-1 35 %
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
        decision: Decision::Failed,
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
        "no request was measured: every one failed, or the run was too short",
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

/// One of a hundred HTTP replies has the status 503, and two bodies change.
fn unexpected() -> Measurement {
    let mut measurement = sample::closed();
    let record = &mut measurement.record;
    record.args.protocol = "http".to_owned();
    record.args.size = "none".to_owned();
    record.args.http_path = Some("/a?b=c".to_owned());
    record.args.expect_status = Some("2xx,3xx".to_owned());
    let mut codes = StatusCounts::default();
    (0..39_600).for_each(|_| codes.add(200));
    (0..400).for_each(|_| codes.add(503));
    let mut latencies = Latencies::new();
    let service = (0..36_000_u64).map(|n| 100_000 + n * 100 / 36);
    service.for_each(|ns| latencies.of_class(ReplyClass::Http2xx).record(ns));
    (0..400).for_each(|_| latencies.of_class(ReplyClass::Http5xx).record(50_000));
    record.statuses = StatusesRecord::new(codes, &latencies);
    record.counters.unexpected_status = 400;
    record.counters.changed_bodies = 2;
    record.runs[0].first_unexpected_reply = Some(UnexpectedReply {
        connection: 7,
        request: 12,
        first_line: "HTTP/1.1 503 Busy".to_owned(),
        body_line: Some("try later".to_owned()),
    });
    record.runs[0].first_changed_body = Some(Mismatch {
        connection: 1,
        request: 2,
        offset_bytes: 60,
        expected: Some(0x61),
        got: 0x62,
        note: Some("the body differs".to_owned()),
    });
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

#[test]
fn a_percentile_that_may_be_the_loader_s_is_marked_in_the_table_and_in_its_run() {
    let args = ArgsRecord { runs: 2, ..sample::open_args() };
    let mut measurement = sample::several(&args, 2);
    let record = &mut measurement.record;
    let part = LoaderPart { verdict: Verdict::Suspect, at_most_ns: 50_000 };
    for validity in [&mut record.validity, &mut record.runs[1].validity] {
        for field in ["p999", "max"] {
            validity.percentiles.insert(field.to_owned(), part);
        }
    }
    let text = shown(&measurement);
    let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap();
    assert!(line("  p99   ").starts_with("  p99         205 µs ["), "{text}");
    assert!(line("  p99.9 ").starts_with("  p99.9     ! 208 µs ["), "{text}");
    assert!(line("  p99.9 ").contains("    200 µs ["), "only the headline latency: {text}");
    assert!(line("  max   ").starts_with("  max       ! 209 µs"), "{text}");
    assert!(text.contains("; ! may be the loader's own delay\n"), "{text}");
    assert_eq!(text.matches("! 208 µs").count(), 2, "in the table and in the second run: {text}");
}

#[test]
fn the_processor_time_of_several_runs_is_a_range() {
    let args = ArgsRecord { runs: 2, ..sample::open_args() };
    let mut measurement = sample::several(&args, 2);
    measurement.record.runs[1].threads[0].cpu_share = 0.6;
    let text = shown(&measurement);
    assert!(text.contains("loader CPU per thread: 45 to 60 %\n"), "{text}");
}

#[test]
fn a_note_with_a_place_of_its_own_is_said_once() {
    let mut measurement = sample::open();
    let record = &mut measurement.record;
    record.env.sharing = Some(Sharing::SharedProcessors);
    for code in [Code::CoLocated, Code::FewSamples] {
        record.validity.labels.push(reason(code, Verdict::Valid, "said"));
    }
    let text = shown(&measurement);
    assert_eq!(
        (text.matches("CO-LOCATED").count(), text.matches("said").count()),
        (1, 0),
        "{text}"
    );
    let doubt = reason(Code::FewSamples, Verdict::Suspect, "an objective needs more");
    measurement.record.validity.reasons.push(doubt);
    assert!(shown(&measurement).contains("few-samples: an objective needs more"));
}

#[test]
fn an_interval_without_an_upper_end_is_explained() {
    let mut measurement = sample::closed();
    assert!(!shown(&measurement).contains('?'));
    let ends = &mut measurement.record.latency_ns.service.ci95;
    ends.insert("p99".to_owned(), (11_300_000, None));
    let text = shown(&measurement);
    assert!(text.contains("[11.3 ms, ?]"), "{text}");
    assert!(text.contains("interval, ? where its upper end is not known"), "{text}");
}

#[test]
fn a_rate_above_the_offered_one_is_explained_by_the_requests_that_waited() {
    let mut measurement = sample::open();
    measurement.record.rate.achieved_per_s = 2_324.0;
    assert!(!shown(&measurement).contains("more than offered"));
    measurement.record.counters.backlog_at_window = 314;
    let text = shown(&measurement);
    assert!(text.contains("offered (116.2 %)"), "{text}");
    assert!(text.contains("also those to the 314 requests that\n"), "{text}");
}

#[test]
fn a_loader_that_sleeps_because_it_knows_no_processors_of_the_server_says_what_would_help() {
    let shown = |record: &Record| render(record, &Latencies::new(), Style::PLAIN);
    let mut record = sample::open().record;
    record.env.sharing = Some(Sharing::SeparateProcessors);
    assert!(!shown(&record).contains("--server-pid"));
    record.env.sharing = None;
    let said =
        "  whether the server has other processors is not known: with --server-pid PID, pacing";
    assert!(shown(&record).contains(said), "{}", shown(&record));
    record.args.pacing = TextValue::of(Pacing::Hybrid);
    assert!(!shown(&record).contains("--server-pid"));
}
