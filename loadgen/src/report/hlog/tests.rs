//! What the readers of other languages demand of an interval log, and that ours gives back all.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::latency::tests::{latencies_of, latency_of};
use crate::latency::{Distribution, Latencies, PERCENTILES};

const START: f64 = 1_700_000_000.25;

/// The log of intervals of a second, the responses of each given in nanoseconds.
fn log_of(intervals: &[Vec<u64>]) -> String {
    let mut bytes = Vec::new();
    let mut writer = LogWriter::begin(&mut bytes, START).unwrap();
    for (second, responses) in intervals.iter().enumerate() {
        let latencies =
            latencies_of([(Distribution::Response, latency_of(responses.iter().copied()))]);
        writer.interval(second as f64, 1.0, &latencies).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

fn parse(text: &str) -> Result<Latencies, Error> {
    Log::parse(Path::new("run-001.hlog"), text).and_then(|log| log.latencies())
}

#[track_caller]
fn complaint(text: &str) -> String {
    parse(text).expect_err("a damaged log was read").to_string()
}

#[test]
fn a_log_is_written_to_the_letter() {
    let text = log_of(&[vec![1_500_000, 2_769_000]]);
    let mut lines = text.lines();
    for line in [
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1700000000.250 (seconds since epoch), 2023-11-14T22:13:20Z]",
        "#[BaseTime: 1700000000.250 (seconds since epoch)]",
        r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#,
    ] {
        assert_eq!(lines.next(), Some(line));
    }
    let entry = lines.next().unwrap();
    assert!(entry.starts_with("Tag=response,0.000,1.000,2.769,HISTFA"), "{entry}");
    assert_eq!(lines.next(), None);
}

#[test]
fn header_lines_are_short_and_no_comment_follows_the_legend() {
    let text = log_of(&[vec![5], vec![], vec![6]]);
    let (header, entries) = text.split_once("Histogram\"\n").unwrap();
    assert!(header.lines().all(|line| line.len() < 128), "{header}");
    assert!(entries.lines().all(|line| line.starts_with("Tag=")), "{entries}");
    assert_eq!(entries.lines().count(), 2, "empty distributions are left out");
}

#[test]
fn the_bounds_of_a_histogram_fit_into_java_s_signed_integers() {
    assert!(i64::try_from(latency_of([5]).histogram().high()).is_ok());
}

#[test]
fn every_distribution_has_a_line_with_its_name() {
    let latencies =
        latencies_of(Distribution::ALL.map(|distribution| (distribution, latency_of([5]))));
    let mut bytes = Vec::new();
    LogWriter::begin(&mut bytes, START).unwrap().interval(0.0, 1.0, &latencies).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for name in Distribution::ALL.map(Distribution::name) {
        assert!(text.contains(&format!("\nTag={name},0.000,1.000,")), "{name}");
    }
    let read = parse(&text).unwrap();
    assert!(Distribution::ALL.iter().all(|distribution| read[*distribution].count() == 1));
}

#[test]
fn values_beyond_the_range_are_read_back_as_its_top() {
    let read = parse(&log_of(&[vec![5, 180_000_000_007]])).unwrap();
    assert_eq!(read[Distribution::Response].count(), 2);
    assert!(read[Distribution::Response].max_ns().unwrap() >= 60_000_000_000);
}

#[test]
fn several_logs_become_one_on_the_first_one_s_clock() {
    let log = |text: &str| Log::parse(Path::new("run.hlog"), text).unwrap();
    let first = log_of(&[vec![1_000]]);
    let second = log_of(&[vec![2_000]]).replace("1700000000.250", "1700000060.500");
    let text = joined(&[log(&first), log(&second)]).unwrap();
    let starts: Vec<&str> = text.lines().filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(starts.last(), Some(&"60.250"));
    assert!(text.starts_with(&first), "the first log stands unchanged");
    assert_eq!(parse(&text).unwrap()[Distribution::Response].count(), 2);
}

#[test]
fn a_log_cannot_begin_at_a_time_that_no_date_represents() {
    for base_unix_s in [-1.0, f64::NAN, 1e12, 1e300] {
        assert!(LogWriter::begin(Vec::new(), base_unix_s).is_err(), "{base_unix_s}");
    }
}

#[test]
fn a_damaged_log_is_refused_with_its_line_and_its_file() {
    let good = log_of(&[vec![1_000; 50], vec![2_000_000; 50]]);
    assert!(parse(&good).is_ok());
    let lines: Vec<&str> = good.lines().collect();
    for (text, said) in [
        (String::new(), "line 1: this is no interval log"),
        (good.replace("1.3]", "2.0]"), "line 1: this is no interval log"),
        (good.replace("#[BaseTime", "#[Other"), "no BaseTime"),
        (good[..good.len() - 10].to_owned(), "line 6: the last line is cut off"),
        (good.replace("Tag=response,1", "Tag=reply,1"), "line 6: unknown distribution 'reply'"),
        (good.replace("Tag=response,1", "1"), "line 6: unknown distribution ''"),
        (good.replace("response,1.000", "response,one"), "line 6: this is no line"),
        (good.replace(lines[5], &lines[5][..60]), "line 6: "),
        (good.replace(",HISTFA", ",HIST!!"), "line 5: base64"),
        (good.replace(",HISTFA", ",HJSTFA"), "line 5: histogram"),
        (good.replace(",2.000,HIST", ",9.000,HIST"), "line 6: the histogram's maximum"),
        (good.replace(",2.000,HIST", ",1.000,HIST"), "line 6: the histogram's maximum"),
    ] {
        let complaint = complaint(&text);
        assert!(complaint.starts_with("read run-001.hlog: "), "{complaint}");
        assert!(complaint.contains(said), "{complaint}, not: {said}");
    }
}

proptest! {
    #[test]
    fn the_intervals_read_back_add_up_to_the_run(
        intervals in vec(vec(1..70_000_000_000_u64, 0..40), 0..12)
    ) {
        let read = parse(&log_of(&intervals)).unwrap();
        let read = &read[Distribution::Response];
        let all = latency_of(intervals.into_iter().flatten());
        prop_assert!(read.buckets().eq(all.buckets()));
        prop_assert_eq!(read.count(), all.count());
        for percentile in PERCENTILES {
            let pair = read.percentile_ns(percentile).zip(all.percentile_ns(percentile));
            if let Some((read, all)) = pair.filter(|_| all.saturated() == 0) {
                prop_assert!(read.abs_diff(all) as f64 <= 1e-3 * all as f64);
            }
        }
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in 200..500_usize, byte in 32..127_u8) {
        let spread = (1..2_000).map(|n| n * 977).collect();
        let mut bytes = log_of(&[vec![1_000; 50], spread]).into_bytes();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let _ = parse(std::str::from_utf8(&bytes).unwrap());
    }
}
