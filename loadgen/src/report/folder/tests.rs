//! A result directory is complete, can be read again, and holds no file of another result.

use std::fs;

use super::*;
use crate::latency::Distribution;
use crate::latency::tests::{latencies_of, latency_of};
use crate::record::LatenciesRecord;
use crate::record::tests::sample;
use crate::report::text::Style;
use crate::report::{StoredResult, View, rewrite, view};

/// Two runs of three intervals as they would be measured, written into `path`.
fn write(path: &Path) -> Measurement {
    let mut folder = ResultFolder::open(path, false).unwrap();
    folder.begin();
    let mut measurement = sample::open();
    let mut template = measurement.record.runs[0].clone();
    // The first interval is the warm-up.
    template.intervals.iter_mut().for_each(|interval| interval.start_s -= 1.0);
    measurement.record.runs.clear();
    measurement.latencies = Latencies::new();
    for number in 1..=2_u32 {
        folder.run_begins(number, 1_700_000_000.0 + 60.0 * f64::from(number));
        let mut run = template.clone();
        let mut all = Latencies::new();
        run.number = number;
        for (second, interval) in run.intervals.iter().take(3).enumerate() {
            let base = 100_003 + 977 * second as u64 + 13 * u64::from(number);
            let latencies = latencies_of([
                (Distribution::Response, latency_of((0..500).map(|n| base + n * n * 7))),
                (Distribution::Service, latency_of((0..500).map(|n| base / 2 + n * 11))),
                (Distribution::Lateness, latency_of((0..500).map(|n| 1_000 + n))),
                (Distribution::Connect, latency_of([70_001])),
            ]);
            folder.interval(interval, &latencies);
            all.merge(&latencies);
        }
        run.latency_ns = LatenciesRecord::from(&all);
        measurement.latencies.merge(&all);
        measurement.record.runs.push(run);
    }
    measurement.record.latency_ns = LatenciesRecord::from(&measurement.latencies);
    folder.finish(&measurement).unwrap();
    measurement
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn contents(path: &Path) -> Vec<(String, String)> {
    let read = |name: String| (name.clone(), fs::read_to_string(path.join(name)).unwrap());
    names(path).into_iter().map(read).collect()
}

#[test]
fn a_result_directory_holds_every_file() {
    let folder = test_needs::folder();
    write(folder.path());
    let expected = [
        "connect.us.hgrm",
        "index.html",
        "intervals.csv",
        "lateness.us.hgrm",
        "plot-percentiles.svg",
        "plot-time.svg",
        "response.us.hgrm",
        "result.json",
        "run-001.hlog",
        "run-002.hlog",
        "service.us.hgrm",
    ];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_result_made_again_from_its_logs_is_the_same_to_the_byte() {
    let (folder, copy) = (test_needs::folder(), test_needs::folder());
    write(folder.path());
    let before = contents(folder.path());
    for file in ["index.html", "response.us.hgrm", "plot-percentiles.svg", "intervals.csv"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let result = StoredResult::read(folder.path()).unwrap();
    rewrite(&result, folder.path(), false).unwrap();
    rewrite(&result, copy.path(), false).unwrap();
    let error = rewrite(&result, copy.path(), false).unwrap_err().to_string();
    assert!(error.contains("--force"), "a copy is a result, too: {error}");
    rewrite(&result, copy.path(), true).unwrap();
    for made in [folder.path(), copy.path()] {
        for ((name, before), (_, after)) in before.iter().zip(contents(made)) {
            assert_eq!(*before, after, "{name}");
        }
    }
}

#[test]
fn every_view_is_the_file_of_its_name() {
    let folder = test_needs::folder();
    write(folder.path());
    let result = StoredResult::read(&folder.path().join("result.json")).unwrap();
    for (kind, file) in [
        (View::Json, "result.json"),
        (View::Csv, "intervals.csv"),
        (View::Hgrm, "response.us.hgrm"),
        (View::SvgPercentiles, "plot-percentiles.svg"),
        (View::SvgTime, "plot-time.svg"),
        (View::Html, "index.html"),
    ] {
        let text = view(&result, kind, Style::PLAIN).unwrap();
        assert_eq!(text, fs::read_to_string(folder.path().join(file)).unwrap(), "{file}");
    }
    let text = view(&result, View::Text, Style::PLAIN).unwrap();
    assert!(text.contains("VALID"), "{text}");
    let log = view(&result, View::Hlog, Style::PLAIN).unwrap();
    assert!(log.contains("Tag=response,0.000,"), "the log begins with the warm-up");
    assert!(log.contains("Tag=response,60.000,"), "the second run is a minute after the first");
}

#[test]
fn a_directory_with_something_else_in_it_is_refused_and_left_alone() {
    let folder = test_needs::folder();
    fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    let error = ResultFolder::open(folder.path(), false).unwrap_err().to_string();
    assert!(error.contains("it contains thesis.tex"), "{error}");
    assert_eq!(names(folder.path()), ["thesis.tex"]);
}

#[test]
fn an_earlier_result_makes_way_and_a_directory_is_made_when_it_begins_and_not_before() {
    let folder = test_needs::folder();
    let (old, new) = (folder.path().join("old"), folder.path().join("a/new"));
    write(&old);
    for (path, force) in [(&old, true), (&new, false)] {
        let mut results = ResultFolder::open(path, force).unwrap();
        results.run_begins(1, 1_700_000_000.0);
        results.run_begins(2, 1_700_000_060.0);
        assert_eq!(path.join("result.json").exists(), force);
        assert_eq!(results.earlier(), force.then_some(&**path));
        results.begin();
        assert_eq!(names(path), ["run-001.hlog", "run-002.hlog"], "nothing measured is lost");
    }
}

#[test]
fn what_a_loader_that_died_has_left_can_be_read() {
    let folder = test_needs::folder();
    let mut results = ResultFolder::open(folder.path(), false).unwrap();
    let (interval, latencies) = interval();
    results.run_begins(1, 1_700_000_000.0);
    results.interval(&interval, &latencies);
    results.begin();
    results.interval(&interval, &latencies);
    let log = crate::report::hlog::Log::read(&folder.path().join("run-001.hlog")).unwrap();
    assert_eq!(log.latencies().unwrap()[Distribution::Service].count(), 4);
    let error = StoredResult::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("when a measurement has come to its end"), "{error}");
}

#[test]
fn a_log_that_cannot_be_written_costs_neither_the_measurement_nor_the_other_files() {
    let folder = test_needs::folder();
    let mut results = ResultFolder::open(folder.path(), false).unwrap();
    fs::create_dir(folder.path().join("run-001.hlog")).unwrap();
    let (interval, latencies) = interval();
    results.begin();
    results.run_begins(1, 1_700_000_000.0);
    results.interval(&interval, &latencies);
    let error = results.finish(&sample::open()).unwrap_err().to_string();
    assert!(error.contains("run-001.hlog"), "{error}");
    assert!(StoredResult::read(folder.path()).is_ok());
    assert!(folder.path().join("index.html").exists());
}

fn interval() -> (IntervalRecord, Latencies) {
    let interval = sample::open().record.runs[0].intervals[0].clone();
    (interval, latencies_of([(Distribution::Service, latency_of([5, 6]))]))
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let error = ResultFolder::open(Path::new("/proc/no/such"), false).unwrap_err().to_string();
    assert!(error.starts_with("make the result directory /proc/no/such: "), "{error}");
}

#[test]
fn logs_of_another_measurement_are_refused() {
    let folder = test_needs::folder();
    write(folder.path());
    let log = folder.path().join("run-002.hlog");
    let text = fs::read_to_string(&log).unwrap();
    let shorter: Vec<&str> = text.lines().take(8).collect();
    fs::write(&log, shorter.join("\n") + "\n").unwrap();
    let error = StoredResult::read(folder.path()).unwrap().latencies().unwrap_err().to_string();
    assert!(error.contains("run-002.hlog: 500 samples of response, and"), "{error}");
    fs::remove_file(&log).unwrap();
    let error = StoredResult::read(folder.path()).unwrap().latencies().unwrap_err().to_string();
    assert!(error.contains("run-002.hlog"), "{error}");
}

#[test]
fn a_record_of_another_format_is_refused_by_its_name() {
    let folder = test_needs::folder();
    let file = folder.path().join("result.json");
    for (text, said) in [
        (r#"{"schema": "loadgen/1", "x": 1}"#, "its format is loadgen/1"),
        ("{}", "no record of a measurement: missing field"),
        ("nonsense", "no record of a measurement"),
    ] {
        fs::write(&file, text).unwrap();
        let error = StoredResult::read(&file).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
