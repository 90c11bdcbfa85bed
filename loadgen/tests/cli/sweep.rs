//! `loadgen sweep`, interrupted and continued.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::echo_command;
use crate::program::*;
use crate::servers::Server;

/// The words of a sweep of short runs over two sizes and a closed and an open loop.
fn words(address: &str, out: &Path, more: &[&str]) -> Vec<String> {
    let flags = ["--duration=50ms", "--warmup=0s", "-c2", "--runs=2"];
    let varied = ["--var", "size=16,32", "--var", "rate=closed,400"];
    let words = ["sweep", address, "--out", out.to_str().unwrap()].into_iter();
    words.chain(flags).chain(varied).chain(more.iter().copied()).map(str::to_owned).collect()
}

fn sweep(address: &str, out: &Path, more: &[&str]) -> Finished {
    let words = words(address, out, more);
    loadgen(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The records of all runs, in the order of their paths.
fn records(out: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let cells = below(out.join("cells"));
    let mut records: Vec<PathBuf> =
        cells.flat_map(|cell| below(cell.path())).map(|file| file.path()).collect();
    records.sort();
    records
}

fn lines(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("sweep.csv")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_combination_is_measured_and_stored() {
    let server = Server::echo();
    let folder = test_needs::folder();
    let out = folder.path().join("sweep");
    let finished = sweep(&server.address(), &out, &["--slo", "p50<60s"]);
    assert!(matches!(finished.code, Some(0 | 2 | 3)), "{finished:?}");
    let records = records(&out);
    assert_eq!(records.len(), 8, "{records:?}");
    assert!(records[0].ends_with("cells/size=16,rate=400/run-01.json"), "{records:?}");
    let open = json(&records[0]);
    assert_eq!((&open["args"]["rate"], &open["args"]["size"]), (&"400".into(), &"16".into()));
    let closed = json(&out.join("cells/size=32,rate=closed/run-02.json"));
    assert_eq!(closed["args"]["mode"], "closed");
    let whole = json(&out.join("sweep.json"));
    assert_eq!((&whole["schema"], &whole["complete"]), (&"loadgen-sweep/1".into(), &true.into()));
    assert_eq!(whole["cells"].as_array().unwrap().len(), 4);
    assert_eq!(fs::read_to_string(out.join("summary.txt")).unwrap(), finished.stdout);
    assert!(out.join("summary.md").exists() && out.join("plot-rate-by-size.svg").exists());
    assert!(finished.stderr.contains("8 runs to measure of 4 combinations, at least "));
    assert!(finished.stderr.contains("loadgen: 8/8 size="), "{finished:?}");
    expect_the_same_when_made_again(&out);
}

#[test]
fn each_round_has_every_cell_once() {
    let server = Server::echo();
    let folder = test_needs::folder();
    sweep(&server.address(), folder.path(), &["--quiet"]);
    let lines = lines(folder.path());
    let cell = |line: &String| line.split(',').skip(1).take(2).collect::<Vec<_>>().join(",");
    for (round, lines) in (1..).zip(lines.chunks(4)) {
        assert!(lines.iter().all(|line| line.starts_with(&format!("{round},"))), "{lines:?}");
        let mut cells: Vec<String> = lines.iter().map(cell).collect();
        cells.sort();
        assert_eq!(cells, ["16,400", "16,closed", "32,400", "32,closed"]);
    }
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    let server = Server::echo();
    let (address, folder) = (server.address(), test_needs::folder());
    let out = folder.path();
    let words = words(&address, out, &[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let child = command(&words).spawn().unwrap();
    until(|| records(out).iter().any(|path| path.extension().is_some_and(|e| e == "json")));
    signal(&child, "INT");
    let finished = wait(child);
    if finished.code == Some(130) {
        assert!(finished.stdout.contains("NOT COMPLETE"), "{finished:?}");
        assert!(finished.stderr.contains("the same command measures the others"), "{finished:?}");
    }
    // As if it had been killed before the summary.
    let mut killed = json(&out.join("sweep.json"));
    killed["cells"] = Value::Array(Vec::new());
    fs::write(out.join("sweep.json"), killed.to_string()).unwrap();
    let reported = loadgen(&["report", out.to_str().unwrap()]);
    assert_eq!(reported.stdout, finished.stdout, "no run is lost");
    let before: Vec<(PathBuf, String)> = records(out)
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let finished = sweep(&address, out, &[]);
    assert!(finished.stderr.contains(" there already"), "{finished:?}");
    assert_eq!((records(out).len(), lines(out).len()), (8, 8));
    for (path, text) in before {
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{}", path.display());
    }
}

#[test]
fn a_sweep_that_cannot_measure_leaves_the_results_that_it_would_have_replaced() {
    let server = Server::echo();
    let folder = test_needs::folder();
    sweep(&server.address(), folder.path(), &["--runs=1", "--quiet"]);
    let before = fs::read_to_string(folder.path().join("sweep.json")).unwrap();
    let failed = sweep(&unused_address(), folder.path(), &["--runs=1", "--quiet", "--force"]);
    expect_one_line(&failed, 1, "connection refused");
    assert_eq!(fs::read_to_string(folder.path().join("sweep.json")).unwrap(), before);
    assert_eq!(records(folder.path()).len(), 4);
}

#[test]
fn another_plan_is_refused_with_the_difference() {
    let server = Server::echo();
    let folder = test_needs::folder();
    sweep(&server.address(), folder.path(), &["--runs=1", "--quiet"]);
    let finished = sweep(&server.address(), folder.path(), &["--runs=1", "--seed=9"]);
    expect_one_line(&finished, 64, "seed: 1 there, 9 here");
    let more = ["--runs=1", "--seed=9", "--quiet", "--force"];
    let forced = sweep(&server.address(), folder.path(), &more);
    assert!(matches!(forced.code, Some(0 | 3)), "{forced:?}");
    assert_eq!(json(&folder.path().join("sweep.json"))["plan"]["args"]["seed"], 9);
    assert_eq!(records(folder.path()).len(), 4);
}

#[test]
fn the_server_s_command_is_filled_in_for_each_cell() {
    let folder = test_needs::folder();
    let (address, out) = (unused_address(), folder.path());
    // To libtest, whatever stands there is the name of one more test.
    let command = echo_command().replace("{addr}", "{what} {addr}");
    let words = ["sweep", &address, "--var", "what=one,two", "--runs=1", "--duration=50ms"];
    let more = ["--warmup=0s", "-c1", "--server-cmd", &command, "--out", out.to_str().unwrap()];
    let finished = loadgen(&[&words[..], &more].concat());
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    let record = json(&out.join("cells/what=two/run-01.json"));
    let started = record["server"]["command"].as_str().unwrap();
    assert!(started.contains(" two {addr}"), "{started}");
    assert!(record["server"]["cpu_us_per_request"].is_number());
}
