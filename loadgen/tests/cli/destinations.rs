//! Where results go: bad places are refused before anything is measured, what cannot be written is
//! printed, and earlier results stay until there is something to replace them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

/// Short measurements of this server by each command that writes files, without the destination.
fn measurements(address: &str) -> [Vec<&str>; 3] {
    let short = ["-c1", "--duration=100ms", "--warmup=0s", "--quiet"];
    // A busy machine has a search repeat its probes.
    let search = ["search", address, "--slo=max<60s", "--from=200", "--to=200", "--max-time=1s"];
    [
        [&["run", address], &short[..]].concat(),
        [&search[..], &short].concat(),
        [&["sweep", address, "--var=size=16", "--runs=1"], &short[..]].concat(),
    ]
}

fn with(words: &[&str], more: &[&str]) -> Finished {
    loadgen(&[words, more].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let folder = test_needs::folder();
    let file = folder.path().join("file");
    fs::write(&file, "earlier").unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let files = [path("no/such.json"), path(""), path("file/x"), "/proc/x".to_owned()];
    let directories = [path("file"), path("file/x"), "/proc/x".to_owned()];
    let server = Server::echo();
    let address = server.address();
    let [run, search, sweep] = measurements(&address);
    for bad in &files {
        expect_one_line(&with(&run, &["--json", bad]), 1, bad);
        expect_one_line(&with(&search, &["--json", bad]), 1, bad);
        expect_one_line(&with(&["calibrate"], &["-o", bad]), 1, bad);
    }
    for words in [&run, &search, &sweep] {
        for bad in &directories {
            expect_one_line(&with(words, &["--out", bad]), 1, bad);
        }
        expect_one_line(&with(words, &["--out", "-"]), 64, "'-' is standard output");
    }
    assert_eq!(server.accepted(), 0);
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read_to_string(file).unwrap(), "earlier");
}

#[test]
fn a_result_that_its_file_does_not_take_is_printed_and_an_error() {
    let address = Server::echo().address();
    let [run, search, _] = measurements(&address);
    let out = test_needs::folder();
    let result = out.path().to_str().unwrap();
    expect_no_errors(&with(&run, &["--out", result]));
    let calibrate = vec!["calibrate", "--duration=50ms"];
    for (words, flag, said) in [
        (&run, "--json", "requests/s"),
        (&search, "--json", "A closed loop with the same connections achieves"),
        (&calibrate, "-o", "One thread in a closed loop"),
        (&vec!["compare", result, result], "--json", "medians of runs"),
    ] {
        let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--quiet").collect();
        let finished = with(&words, &[flag, "/dev/full"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stdout.contains(said), "{finished:?}");
        let error = "write /dev/full: No space left on device";
        assert!(finished.stderr.contains(error), "{finished:?}");
    }
}

#[test]
fn a_full_standard_output_is_an_error_of_every_command() {
    let address = Server::echo().address();
    let [run, search, sweep] = measurements(&address);
    let folder = test_needs::folder();
    let (out, sweep_out) = (folder.path().join("run"), folder.path().join("sweep"));
    let (result, sweep_out) = (out.to_str().unwrap(), sweep_out.to_str().unwrap());
    expect_no_errors(&with(&run, &["--out", result]));
    let mut all = vec![
        [&run[..], &["--json", "-"]].concat(),
        [&search[..], &["--json", "-"]].concat(),
        run.iter().copied().filter(|word| *word != "--quiet").collect(),
        [&sweep[..], &["--out", sweep_out]].concat(),
        vec!["compare", result, result],
        vec!["selftest", "verification"],
        vec!["calibrate", "--duration=50ms", "-o", "-"],
        vec!["env"],
        vec!["run", "--help"],
        vec!["--version"],
        vec!["completions", "bash"],
    ];
    all[3].retain(|word| *word != "--quiet");
    for view in ["text", "json", "csv", "hgrm", "hlog", "svg-percentiles", "svg-time", "html"] {
        all.push(vec!["report", result, "--view", view]);
    }
    for words in all {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let finished = wait(command(&words).stdout(full).spawn().unwrap());
        assert_eq!(finished.code, Some(1), "{words:?}: {finished:?}");
        assert!(finished.stderr.contains("No space left"), "{words:?}: {finished:?}");
    }
    assert!(Path::new(sweep_out).join("sweep.json").exists(), "files are written all the same");
}

#[test]
fn a_disk_that_is_full_costs_no_number_and_leaves_no_unfinished_file() {
    let address = Server::echo().address();
    let [run, search, sweep] = measurements(&address);
    let folder = test_needs::folder();
    for (words, flag, name) in [
        (&run, "--out", "run"),
        (&run, "--json", "run.json"),
        (&search, "--out", "search"),
        (&search, "--json", "search.json"),
        (&sweep, "--out", "sweep"),
    ] {
        let path = folder.path().join(name);
        // No file takes more than half a KiB.
        let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
        let words = words.iter().copied().filter(|word| *word != "--quiet");
        let mut shell = Command::new("sh");
        shell.args(["-c", line, env!("CARGO_BIN_EXE_loadgen")]).args(words);
        shell.args([flag, path.to_str().unwrap()]).stdin(Stdio::null());
        let finished = Finished::from(shell.output().unwrap());
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("File too large"), "{finished:?}");
        assert!(finished.stdout.lines().count() > 5, "the report is printed: {finished:?}");
    }
    let find = Command::new("find").arg(folder.path()).args(["-name", "*.unfinished"]).output();
    assert_eq!(String::from_utf8(find.unwrap().stdout).unwrap(), "");
}

#[test]
fn every_command_writes_through_links_and_into_pipes_and_replaces_neither() {
    let address = Server::echo().address();
    let [run, search, _] = measurements(&address);
    let folder = test_needs::folder();
    let path = |name: &str| folder.path().join(name);
    let calibrate = vec!["calibrate", "--duration=50ms"];
    for (words, flag) in [(&run, "--json"), (&search, "--json"), (&calibrate, "-o")] {
        let (real, link, pipe) = (path("real"), path("link"), path("pipe"));
        symlink("real", &link).unwrap();
        with(words, &[flag, link.to_str().unwrap()]);
        assert!(link.is_symlink());
        let written: Value = serde_json::from_str(&fs::read_to_string(&real).unwrap()).unwrap();
        assert!(written.is_object());

        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let child = command(&[&words[..], &[flag, pipe.to_str().unwrap()]].concat()).spawn();
        let text = fs::read_to_string(&pipe).unwrap();
        wait(child.unwrap());
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        [real, link, pipe].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn a_file_in_a_directory_that_the_run_will_make_is_refused_with_the_remedy() {
    let folder = test_needs::folder();
    let out = folder.path().join("out");
    let (place, inside) = (out.display().to_string(), out.join("x").display().to_string());
    for flag in ["--json", "--json-stream"] {
        let finished = loadgen(&["run", "127.0.0.1:1", "-o", &place, flag, &inside]);
        expect_one_line(&finished, 64, "name a file outside of it, or make the directory first");
        assert!(!out.exists());
    }
    // The remedy.
    fs::create_dir(&out).unwrap();
    let address = Server::echo().address();
    let [run, ..] = measurements(&address);
    let finished = with(&run, &["-o", &place, "--json-stream", &inside]);
    expect_no_errors(&finished);
    assert!(fs::read_to_string(&inside).unwrap().lines().count() > 1);
}

/// A file and a directory with earlier results.
struct Earlier {
    folder: tempfile::TempDir,
    json: String,
    out: String,
}

impl Earlier {
    fn new() -> Self {
        let folder = test_needs::folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (json, out) = (path("earlier.json"), path("out"));
        fs::create_dir(&out).unwrap();
        for file in [&json, &format!("{out}/result.json"), &format!("{out}/run-001.hlog")] {
            fs::write(file, "earlier").unwrap();
        }
        Self { folder, json, out }
    }

    /// The words of these measurements with both destinations.
    fn replaced_by<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let json = if words[0] == "sweep" { &[][..] } else { &["--json", &self.json] };
        [words, &["--force", "--out", &self.out], json].concat()
    }

    #[track_caller]
    fn expect_untouched(&self, what: &str) {
        let out = Path::new(&self.out);
        for file in [Path::new(&self.json), &out.join("result.json"), &out.join("run-001.hlog")] {
            assert_eq!(fs::read_to_string(file).unwrap(), "earlier", "{what}: {}", file.display());
        }
        assert_eq!((names(out).len(), names(self.folder.path()).len()), (2, 2), "{what}");
    }
}

#[test]
fn earlier_results_stay_if_the_measurement_cannot_begin() {
    let earlier = Earlier::new();
    let (server, nothing) = (Server::echo().address(), unused_address());
    for (address, more) in [
        (&nothing, &[][..]),
        (&server, &["--pin=1023"]),
        (&server, &["--source=192.0.2.1"]),
        (&nothing, &["--server-cmd=sh -c 'exit 3'"]),
        (&server, &["--calibration=/no/such/file"]),
    ] {
        for words in measurements(address) {
            let finished = with(&earlier.replaced_by(&words), more);
            assert!(matches!(finished.code, Some(1 | 64)), "{words:?} {more:?}: {finished:?}");
            earlier.expect_untouched(&format!("{words:?} {more:?}"));
        }
    }
}

#[test]
fn earlier_results_stay_if_an_interrupt_comes_before_the_first_reply() {
    for index in 0..3 {
        let server = Server::start(|mut client| client.swallow());
        let (earlier, address) = (Earlier::new(), server.address());
        let words = &measurements(&address)[index];
        let words =
            [&earlier.replaced_by(words)[..], &["--duration=60s", "--timeout=60s"]].concat();
        let bounded = ["--quiet", "--max-time=1s"];
        let words: Vec<&str> = words.into_iter().filter(|word| !bounded.contains(word)).collect();
        let child = command(&words).spawn().unwrap();
        until(|| server.bytes_read() > 0 || has_ended(&child));
        signal(&child, "INT");
        let finished = wait(child);
        assert_eq!(finished.code, Some(130), "{finished:?}");
        earlier.expect_untouched(&format!("{words:?}"));
        // A search and a sweep have measured nothing.
        let said = format!("interrupted at its beginning; {} keeps the earlier", earlier.out);
        assert!(index > 0 || finished.stderr.contains(&said), "{finished:?}");
    }
}

#[test]
fn an_interrupt_after_the_first_interval_replaces_earlier_results() {
    let server = Server::echo();
    let (earlier, address) = (Earlier::new(), server.address());
    let run = ["run", &address, "-c1", "--warmup=0s", "--interval=50ms", "--duration=60s"];
    let child = command(&earlier.replaced_by(&run)).spawn().unwrap();
    until(|| {
        fs::read_to_string(format!("{}/run-001.hlog", earlier.out)).unwrap_or_default().len() > 99
    });
    signal(&child, "INT");
    assert_eq!(wait(child).code, Some(130));
    for file in [earlier.json, format!("{}/result.json", earlier.out)] {
        let record: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(record["interrupted"], true);
    }
}

#[test]
fn a_result_whose_last_run_was_interrupted_while_it_connected_can_be_shown() {
    let server = Server::echo();
    let (folder, address) = (test_needs::folder(), server.address());
    let path = folder.path().join("out");
    let out = path.to_str().unwrap();
    // Each run waits for two seconds between its two connections.
    let run = ["run", &address, "-c2", "--connect-rate=0.5", "--warmup=0s", "--interval=50ms"];
    let more = ["--duration=100ms", "--runs=2", "--out", out];
    let child = command(&[&run[..], &more].concat()).spawn().unwrap();
    until(|| server.accepted() == 3);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let report = loadgen(&["report", out]);
    assert_eq!(report.code, Some(0), "{report:?}");
}

#[test]
fn two_loaders_never_mix_their_results_in_one_directory() {
    let server = Server::echo();
    let (folder, address) = (test_needs::folder(), server.address());
    let path = folder.path().join("out");
    let out = path.to_str().unwrap();
    let run = ["run", &address, "-c1", "--warmup=0s", "--interval=10ms", "--out", out];
    let first = command(&[&run[..], &["--duration=60s"]].concat()).spawn().unwrap();
    until(|| path.join("run-001.hlog").exists());
    let second = with(&run, &["--duration=1s", "--force"]);
    expect_one_line(&second, 1, "another loadgen writes into it now");
    signal(&first, "INT");
    let finished = wait(first);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let report = loadgen(&["report", out, "--view=hlog"]);
    assert_eq!(report.code, Some(0), "record and log are of one run: {report:?}");
}

#[test]
fn a_search_that_is_killed_leaves_the_probes_that_were_made() {
    let server = Server::echo();
    let (folder, address) = (test_needs::folder(), server.address());
    let path = folder.path().join("out");
    let out = path.to_str().unwrap();
    let words = ["search", &address, "--slo=max<60s", "-c1", "--duration=1s", "--warmup=0s"];
    let child = command(&[&words[..], &["--out", out]].concat()).spawn().unwrap();
    until(|| path.join("search.json").exists());
    signal(&child, "KILL");
    wait(child);
    let report = loadgen(&["report", out]);
    assert_eq!(report.code, Some(0), "{report:?}");
    assert!(
        report.stdout.contains("A closed loop with the same connections achieves"),
        "{report:?}"
    );
}
