//! The real binary against real sockets: what a user sees, on good days and bad.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use servers::Server;

mod servers;

/// Longest any single run may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished run has left.
#[derive(Debug)]
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[track_caller]
fn wait(child: Child) -> Finished {
    let mut child = child;
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let _ = pipes.0.as_mut().map(|pipe| pipe.read_to_end(&mut stdout));
        let _ = pipes.1.as_mut().map(|pipe| pipe.read_to_end(&mut stderr));
        (stdout, stderr)
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the run hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = reader.join().unwrap();
    Output { status, stdout, stderr }.into()
}

#[track_caller]
fn loadgen(words: &[&str]) -> Finished {
    wait(command(words).spawn().unwrap())
}

/// A short run against `server` with more flags, its JSON record on stdout.
#[track_caller]
fn load(server: &Server, flags: &str) -> Finished {
    let address = server.address();
    let short = "--duration 200ms --warmup 50ms --json -";
    let words = ["run", &address].into_iter();
    let words = words.chain(short.split(' ')).chain(flags.split_whitespace());
    loadgen(&words.collect::<Vec<_>>())
}

#[track_caller]
fn count(record: &Value, name: &str) -> u64 {
    let value = &record["counters"][name];
    value.as_u64().unwrap_or_else(|| panic!("{name}: {record}"))
}

#[track_caller]
fn expect_conserved(record: &Value) {
    let accounted =
        count(record, "completed") + count(record, "failed") + count(record, "censored");
    assert_eq!(count(record, "sent"), accounted, "{record}");
}

#[track_caller]
fn expect_one_line(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(finished.stderr.contains(said), "{said:?} in {finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");
}

#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    let line = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

// Good days.

#[test]
fn an_echo_server_passes_and_every_request_is_accounted_for() {
    let server = Server::echo();
    let begun = Instant::now();
    let finished = load(&server, "-c 7 -t 3 --size 100 --pipeline 4 --seed 9 --timeout 10s");
    assert!(begun.elapsed() < Duration::from_secs(5), "the drain ends with the last reply");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "connects"), 7);
    assert_eq!(count(&record, "failed") + count(&record, "censored"), 0);
    assert!(count(&record, "measured") > 0);
    assert!(count(&record, "completed") > count(&record, "measured"), "warm-up is not measured");
    assert_eq!(count(&record, "bytes_sent"), count(&record, "sent") * 100);
    assert_eq!(count(&record, "bytes_received"), count(&record, "bytes_sent"));
    assert_eq!(server.bytes_read(), count(&record, "bytes_sent"));
    assert_eq!(server.accepted(), 7);
    let threads = record["threads"].as_array().unwrap();
    let spread: Vec<_> = threads.iter().map(|thread| &thread["connections"]).collect();
    assert_eq!(spread, [3, 2, 2]);
    let completed = threads.iter().map(|thread| thread["completed"].as_u64().unwrap());
    assert_eq!(completed.sum::<u64>(), count(&record, "completed"));
}

#[test]
fn the_record_has_exactly_the_promised_keys() {
    let record = load(&Server::echo(), "-c 2").json();
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(
        keys(&record),
        "args counters env first_mismatch interrupted latency_ns rate schema threads"
    );
    assert_eq!(
        keys(&record["args"]),
        "connections duration_s mode pipeline seed size_bytes target threads timeout_s warmup_s"
    );
    assert_eq!(
        keys(&record["env"]),
        "command cpu_model cpus kernel loadgen_version started_unix_s"
    );
    assert_eq!(keys(&record["rate"]), "achieved_per_s bytes_per_s offered_per_s");
    assert_eq!(keys(&record["latency_ns"]), "connect service");
    assert_eq!(keys(&record["latency_ns"]["service"]), "count max mean min p50 p90 p99 p999 p9999");
    assert_eq!(
        keys(&record["counters"]),
        "bytes_received bytes_sent censored closed_by_server completed connects failed measured \
         mismatches other_errors resets saturated sent timeouts"
    );
    assert_eq!(keys(&record["threads"][0]), "completed connections cpu_s cpu_share wall_s");
    assert_eq!(record["schema"], "loadgen/1");
    assert_eq!(record["args"]["mode"], "closed");
    assert_eq!(record["latency_ns"]["connect"]["p50"], Value::Null, "2 samples are too few");
}

#[test]
fn the_rate_and_the_latencies_agree_with_a_server_of_known_speed() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_some(1024);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
            client.write(&bytes);
        }
    });
    let record = load(&server, "-c 4 --warmup 400ms --duration 400ms").json();
    let least = record["latency_ns"]["service"]["min"].as_u64().unwrap();
    assert!(least >= 5_000_000, "no reply can be faster than the server: {least} ns");
    // In a closed loop, requests outstanding = rate x service time (Little's law).
    let rate = record["rate"]["achieved_per_s"].as_f64().unwrap();
    let mean = record["latency_ns"]["service"]["mean"].as_f64().unwrap() / 1e9;
    let outstanding = rate * mean;
    assert!((3.0..6.0).contains(&outstanding), "{rate}/s x {mean} s");
}

#[test]
fn replies_that_dribble_in_byte_by_byte_are_put_together() {
    let server = Server::start(|mut client| while client.echo_some(1) > 0 {});
    let finished = load(&server, "-c 2 --size 37 --pipeline 3");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "bytes_received"), count(&record, "completed") * 37);
}

#[test]
fn large_pipelined_requests_do_not_deadlock_with_a_server_that_reads_only_when_it_has_written() {
    let finished = load(&Server::echo(), "-c 2 --pipeline 16 --size 1MiB --timeout 15s");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "completed") >= 32, "{record}");
}

#[test]
fn a_request_larger_than_any_socket_buffer_goes_out_without_a_reply_in_between() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_exactly(16 << 20);
            if bytes.is_empty() {
                return;
            }
            client.write(&bytes);
        }
    });
    let finished = load(&server, "-c 2 --size 16MiB --timeout 2s");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    expect_conserved(&finished.json());
}

#[test]
fn waiting_for_a_reply_costs_no_processor_time_even_after_a_full_socket() {
    let server = Server::start(|mut client| {
        loop {
            let bytes = client.read_exactly(1 << 20);
            if bytes.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(200));
            client.write(&bytes);
        }
    });
    let record = load(&server, "-c 1 --size 1MiB --duration 600ms").json();
    let share = record["threads"][0]["cpu_share"].as_f64().unwrap();
    assert!(share < 0.3, "{share} of a processor for five requests a second");
}

#[test]
fn host_names_and_ipv6_addresses_are_targets_too() {
    let server = Server::echo();
    let name = format!("localhost:{}", server.port());
    let finished = loadgen(&["run", &name, "-c1", "--duration=50ms", "--warmup=0s"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    if TcpListener::bind("[::1]:0").is_ok() {
        let server = Server::start_on("[::1]:0", |mut client| while client.echo_some(99) > 0 {});
        let finished = load(&server, "-c 1");
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}

#[test]
fn the_report_is_on_stdout_and_says_what_kind_of_latency_it_shows() {
    let address = Server::echo().address();
    let finished = loadgen(&["run", &address, "-c2", "--duration=100ms", "--warmup=0s"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("closed loop, service time"), "{finished:?}");
    assert!(finished.stdout.contains("errors: none"), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
}

#[test]
fn json_on_stdout_moves_the_report_to_stderr_and_quiet_silences_it() {
    let server = Server::echo();
    let finished = load(&server, "-c 1");
    finished.json();
    assert!(finished.stderr.contains("closed loop, service time"), "{finished:?}");
    let quiet = load(&server, "-c 1 --quiet");
    quiet.json();
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
}

#[test]
fn a_json_file_is_replaced_only_by_a_finished_run() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result.json");
    let old = "x".repeat(100_000);
    std::fs::write(&file, &old).unwrap();
    let path = file.to_str().unwrap();
    let short = ["--duration=50ms", "--warmup=0s", "-c1", "--json", path];

    let refused = loadgen(&[&["run", &unused_address()], &short[..]].concat());
    assert_eq!(refused.code, Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), old);

    let finished = loadgen(&[&["run", &Server::echo().address()], &short[..]].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let record: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(record["schema"], "loadgen/1");
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let address = Server::echo().address();
    let words = ["run", &address, "-c1", "--duration=100ms", "--warmup=0s"];
    let mut child = command(&words).spawn().unwrap();
    drop(child.stdout.take());
    let finished = wait(child);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
}

// Bad days.

#[test]
fn a_corrupted_byte_is_located_and_costs_only_its_connection() {
    // The second connection's third request comes back with its byte 5 wrong.
    let server = Server::start(|mut client| {
        for request in 0.. {
            let mut bytes = client.read_exactly(50);
            if bytes.len() < 50 {
                return;
            }
            if client.number == 1 && request == 3 {
                bytes[5] ^= 0x80;
            }
            client.write(&bytes);
        }
    });
    let finished = load(&server, "-c 3 --size 50");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "mismatches"), 1);
    assert_eq!(count(&record, "failed"), 1);
    assert!(count(&record, "measured") > 0, "the other connections went on");
    let mismatch = &record["first_mismatch"];
    assert_eq!((&mismatch["request"], &mismatch["offset_bytes"]), (&3.into(), &5.into()));
    let expected = mismatch["expected"].as_u64().unwrap();
    assert_eq!(mismatch["got"], expected ^ 0x80);
    assert!(finished.stderr.contains("request 3, offset 5"), "{finished:?}");
}

#[test]
fn a_server_that_swaps_two_clients_data_is_found_out() {
    let exchange = [Mutex::default(), Mutex::default()];
    let both_have_come = Barrier::new(2);
    let server = Server::start(move |mut client| {
        let number = client.number as usize;
        *exchange[number].lock().unwrap() = client.read_exactly(64);
        both_have_come.wait();
        client.write(&exchange[1 - number].lock().unwrap());
        client.swallow();
    });
    let finished = load(&server, "-c 2");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "mismatches"), count(&record, "completed")), (2, 0));
}

#[test]
fn connections_closed_in_mid_run_are_counted_and_the_rest_goes_on() {
    let server = Server::start(|mut client| {
        for request in 0.. {
            if client.number < 2 && request == 5 {
                return client.close();
            }
            if client.echo_some(64) == 0 {
                return;
            }
        }
    });
    let finished = load(&server, "-c 5");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "closed_by_server"), 2);
    assert_eq!(count(&record, "failed"), 2);
    assert!(count(&record, "measured") > 0);
    assert!(finished.stderr.contains("2 connections closed by the server"), "{finished:?}");
}

#[test]
fn a_run_that_loses_all_connections_ends_early_and_says_so() {
    let server = Server::start(|mut client| {
        client.echo_some(64);
        client.close();
    });
    let begun = Instant::now();
    let finished = load(&server, "-c 3 -t 2 --duration 60s");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    expect_conserved(&finished.json());
    assert!(finished.stderr.contains("the run ended early"), "{finished:?}");
}

#[test]
fn a_reset_is_told_from_an_orderly_close() {
    // Closing with unread bytes makes the kernel reset the connection.
    let server = Server::start(|mut client| {
        client.read_exactly(10);
    });
    let finished = load(&server, "-c 3 --size 100");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "resets"), count(&record, "closed_by_server")), (3, 0));
}

#[test]
fn a_server_that_never_answers_times_out() {
    let server = Server::start(|mut client| client.swallow());
    let finished = load(&server, "-c 3 --pipeline 2 --duration 30s --timeout 150ms");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "timeouts"), count(&record, "failed")), (3, 6));
    assert_eq!(count(&record, "completed"), 0);
}

#[test]
fn a_loader_that_was_held_up_itself_blames_no_connection() {
    // More connections than two waits report: some replies are still unread when it judges. And
    // the server, answering in turn, waits for the loader meanwhile.
    const CLIENTS: usize = 1200;
    if rlimit::increase_nofile_limit(2 * CLIENTS as u64).unwrap() < 2 * CLIENTS as u64 {
        return;
    }
    let server = Server::in_turn(CLIENTS, 64);
    let round = 64 * CLIENTS as u64;
    let address = server.address();
    let words = ["run", &address, "-c1200", "--warmup=0s", "--duration=60s", "--timeout=2s"];
    let child = command(&[&words[..], &["--json", "-"]].concat()).spawn().unwrap();
    until(|| server.bytes_read() >= 3 * round || has_ended(&child));
    signal(&child, "STOP");
    // Nothing to wait for: the time itself is the hold-up.
    thread::sleep(Duration::from_millis(2500));
    signal(&child, "CONT");
    let before = server.bytes_read();
    until(|| server.bytes_read() >= before + 3 * round || has_ended(&child));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(count(&finished.json(), "timeouts"), 0, "{finished:?}");
}

#[test]
fn requests_still_unanswered_after_the_drain_are_censored_not_dropped() {
    // One byte every 20 ms is progress, so nothing times out; but the reply needs 20 s.
    let server = Server::start(|mut client| {
        let bytes = client.read_exactly(1000);
        for byte in bytes.chunks(1) {
            client.write(byte);
            thread::sleep(Duration::from_millis(20));
        }
    });
    let finished = load(&server, "-c 3 --size 1000 --timeout 300ms --duration 100ms");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "censored"), count(&record, "timeouts")), (3, 0));
}

fn unused_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_refused_connect_is_one_line_with_advice() {
    let finished = loadgen(&["run", &unused_address(), "-c", "4", "-t", "2"]);
    expect_one_line(&finished, 1, "connection refused; is the server running?");
}

#[test]
fn a_name_that_does_not_resolve_is_one_line() {
    let finished = loadgen(&["run", "no-such-host.invalid:5555"]);
    expect_one_line(&finished, 1, "resolve no-such-host.invalid:5555");
}

#[test]
fn a_bad_path_for_the_record_fails_before_the_run() {
    let server = Server::echo();
    let address = server.address();
    let finished = loadgen(&["run", &address, "--json", "/no/such/folder/result.json"]);
    expect_one_line(&finished, 1, "/no/such/folder/result.json");
    assert_eq!(server.accepted(), 0);
}

#[test]
fn more_connections_than_the_machine_has_ports_fail_at_once() {
    let finished = loadgen(&["run", &unused_address(), "-c", "70000"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("70000 connections"), "{finished:?}");
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised_aloud() {
    let address = Server::echo().address();
    let program = env!("CARGO_BIN_EXE_loadgen");
    let flags = "-c 40 --duration 50ms --warmup 0s";
    let line = format!("ulimit -Sn 32; exec {program} run {address} {flags}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let finished = Finished::from(output);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("raised the limit of open files from 32"), "{finished:?}");

    let line = format!("ulimit -n 32; exec {program} run {address} {flags}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    expect_one_line(&output.into(), 1, "the hard limit is 32");
}

#[test]
fn usage_errors_are_one_line_and_exit_with_64() {
    for (words, said) in [
        (&["run", "--connections", "0"][..], "--connections must be at least 1"),
        (&["run", "--size", "much"], "--size"),
        (&["run", "--size", "1GiB"], "at most 64MiB"),
        (&["run", "--duration", "10"], "--duration"),
        (&["run", "--no-such-flag"], "--no-such-flag"),
        (&["run", "localhost"], "no port"),
        (&["run", "a:1", "b:2"], "b:2"),
        (&["jump"], "jump"),
    ] {
        expect_one_line(&loadgen(words), 64, said);
    }
}

#[test]
fn without_a_command_there_is_help_and_64() {
    let finished = loadgen(&[]);
    assert_eq!(finished.code, Some(64));
    assert!(finished.stderr.contains("Usage: loadgen"), "{finished:?}");
}

#[test]
fn help_and_version_are_answers_on_stdout() {
    let help = loadgen(&["run", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--pipeline") && help.stdout.contains("Example"));
    let version = loadgen(&["--version"]);
    assert_eq!(version.stdout, concat!("loadgen ", env!("CARGO_PKG_VERSION"), "\n"));
}

// Interrupts.

#[test]
fn an_interrupt_ends_the_run_with_partial_results() {
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, "-c4", "-t2", "--warmup=0s", "--duration=60s", "--json", "-"];
    let child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() > 64 * 100);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(record["interrupted"], true);
    assert!(count(&record, "measured") > 0);
    assert!(finished.stderr.contains("INTERRUPTED"), "{finished:?}");
}

#[test]
fn an_interrupted_drain_is_short_and_leaves_the_unanswered_censored() {
    let server = Server::start(|mut client| client.swallow());
    let address = server.address();
    let words = ["run", &address, "-c2", "--duration=60s", "--timeout=60s", "--json", "-"];
    let child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() == 128);
    signal(&child, "INT");
    let begun = Instant::now();
    let finished = wait(child);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert_eq!(count(&finished.json(), "censored"), 2);
}

#[test]
fn an_interrupt_while_connecting_sends_nothing_and_still_reports() {
    // Nobody accepts: connects beyond the kernel's queue get no answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = ["run", &address, "-c5000", "--timeout=60s", "--json", "-"];
    let child = command(&words).spawn().unwrap();
    until(|| has_handler(&child, 2));
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    assert_eq!(count(&record, "sent"), 0);
    assert!(count(&record, "connects") < 5000);
}

/// Whether the process has ended, without taking note of how.
fn has_ended(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// Whether the process catches the signal `number` yet.
fn has_handler(child: &Child, number: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (number - 1)) != 0
}

#[test]
fn a_second_interrupt_ends_the_program_at_once() {
    let server = Server::start(|mut client| client.swallow());
    let address = server.address();
    let words = ["run", &address, "-c1", "--duration=60s", "--timeout=60s", "--json", "-"];
    let mut child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() == 64);
    // Two signals at the same moment may count as one; a later one never does.
    while child.try_wait().unwrap().is_none() {
        signal(&child, "INT");
    }
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stdout.is_empty(), "no results were written: {finished:?}");
}
