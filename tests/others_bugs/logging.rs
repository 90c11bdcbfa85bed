//! The log and the signals that concern it. Other servers waited for the reader of their log, wrote
//! to a renamed file for ever, or ended by a signal that was meant well.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::is_served;
use crate::common::{ServerProcess, eventually};
use crate::servers::Watched;
use crate::shutdown::END_TIME_MAX;

/// A pipe that no one reads, without room for another byte.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let has_room = |writer: &_| {
        poll(&mut [PollFd::new(writer, PollFlags::OUT)], Some(&Timespec::default())).unwrap() > 0
    };
    while has_room(&writer) {
        writer.write_all(&[b'\n'; 4096]).unwrap();
    }
    (reader, writer.into())
}

fn serve(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--no-pin"]).args(flags);
    command
}

/// A server whose worker logs its first request, while no one reads the log.
fn with_a_stalled_log() -> (Watched, PipeReader) {
    let flags = ["--service", "work", "--work", "spin:3ms", "--slow-callback", "1ms"];
    let mut command = serve(&flags);
    command.args(["--admin", "127.0.0.1:0"]);
    let (reader, stderr) = full_pipe();
    (Watched::of(ServerProcess::spawn_with_stderr(command, stderr)), reader)
}

/// Sends a signal that is logged, until the log has dropped some lines.
fn overflow_the_log(watched: &Watched) -> u64 {
    let pid = Pid::from_raw(watched.server.pid() as i32).unwrap();
    let mut dropped = 0;
    eventually("the log drops lines", || {
        (0..200).for_each(|_| kill_process(pid, Signal::USR2).unwrap());
        dropped = watched.stats()["process"]["log_dropped"].as_u64().unwrap();
        dropped > 0
    });
    dropped
}

/// evshard: a worker waited inside write(2) for the reader of standard error. `/readyz` reported
/// 503, and two SIGTERMs had no effect.
#[test]
fn a_log_reader_that_stalls_freezes_the_server() {
    let (watched, _reader) = with_a_stalled_log();
    let client = watched.server.connect();
    assert!(is_served(&client));
    overflow_the_log(&watched);
    assert!(is_served(&client) && is_served(&watched.server.connect()));
    assert_eq!(watched.http("GET", "/readyz").0, 200);
    let metrics = watched.http("GET", "/metrics").1;
    let mut samples = metrics.lines().filter_map(|l| l.strip_prefix("evshard_log_dropped_total "));
    assert!(samples.next().is_some_and(|count| count != "0"), "{metrics}");
    drop(client);
    let start = Instant::now();
    assert!(watched.server.terminate().0.success());
    assert!(start.elapsed() < END_TIME_MAX, "{:?}", start.elapsed());
}

/// The second signal ends it at once in that state, too.
#[test]
fn a_log_reader_that_stalls_keeps_a_second_signal_from_ending_the_server() {
    let (reader, stderr) = full_pipe();
    let server = ServerProcess::spawn_with_stderr(serve(&["--drain-delay", "1h"]), stderr);
    let start = Instant::now();
    server.signal("TERM");
    server.signal("INT");
    assert!(matches!(server.wait().0.code(), Some(130 | 143)));
    assert!(start.elapsed() < END_TIME_MAX, "{:?}", start.elapsed());
    drop(reader);
}

#[test]
fn a_log_that_dropped_lines_reads_as_if_it_were_complete() {
    let (watched, reader) = with_a_stalled_log();
    let dropped = overflow_the_log(&watched);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let mut reported = 0;
    while reported < dropped {
        let line = lines.next().expect("the losses are reported");
        if let Some(count) = line.strip_suffix(" lines were dropped") {
            let (_, count) = count.split_once(" WARN log: ").unwrap();
            reported += count.parse::<u64>().unwrap();
        }
    }
    let reading = thread::spawn(move || lines.last().unwrap());
    assert!(watched.server.terminate().0.success());
    let last = reading.join().unwrap();
    assert!(last.contains("draining"), "the log goes on until the end: {last}");
}

/// The same for standard output, which few read after the first lines.
#[test]
fn a_stalled_reader_of_standard_output_keeps_the_server_from_its_start_and_end() {
    let folder = test_needs::folder();
    let socket = folder.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let (_reader, stdout) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
    command.args(["serve", "--workers", "1", "--listen", &listen]);
    let mut child = command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
    eventually("it serves", || {
        let Ok(mut client) = UnixStream::connect(&socket) else { return false };
        client.write_all(b"x").is_ok() && client.read_exact(&mut [0]).is_ok()
    });
    let start = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() && start.elapsed() < END_TIME_MAX, "{status} {:?}", start.elapsed());
}

/// Waits until the file has a line with this text.
#[track_caller]
fn expect_line(path: &Path, text: &str) {
    eventually(&format!("{text:?} in {}", path.display()), || {
        fs::read_to_string(path).is_ok_and(|log| log.contains(text))
    });
}

/// Many servers: after a rotation they wrote to the renamed or removed file.
#[test]
fn a_log_file_that_was_rotated_is_written_to_under_its_old_name() {
    let folder = test_needs::folder();
    let log = folder.path().join("log");
    let server = ServerProcess::start(&["--log-file", log.to_str().unwrap()]);
    let client = server.connect();
    for (round, signal) in ["HUP", "USR1"].into_iter().enumerate() {
        server.signal("USR2");
        expect_line(&log, "SIGUSR2 is ignored");
        let old = folder.path().join(format!("log.{round}"));
        fs::rename(&log, &old).unwrap();
        server.signal(signal);
        expect_line(&log, "the log file was opened again");
        let complete = fs::read_to_string(&old).unwrap();
        assert_eq!(complete.matches("SIGUSR2").count(), 1, "{complete}");
    }
    assert!(is_served(&client));
    drop(client);
    assert!(server.terminate().0.success());
    expect_line(&log, "draining");
}

#[test]
fn a_log_file_that_cannot_be_opened_again_ends_the_log() {
    let folder = test_needs::folder();
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    fs::create_dir(&before).unwrap();
    let log = before.join("log");
    let server = ServerProcess::start(&["--log-file", log.to_str().unwrap()]);
    fs::rename(&before, &after).unwrap();
    server.signal("HUP");
    let moved = after.join("log");
    expect_line(&moved, "cannot be opened again; the open one stays in use");
    server.signal("USR2");
    expect_line(&moved, "SIGUSR2 is ignored");
    assert!(is_served(&server.connect()));
}

/// At its maximum size, a write to the log file raised a signal that ends a process.
#[test]
fn a_log_file_of_maximum_size_ends_the_server() {
    let folder = test_needs::folder();
    let log = folder.path().join("log");
    let flags = format!("--workers 1 --admin 127.0.0.1:0 --log-file '{}'", log.display());
    let watched = Watched::of(ServerProcess::start_after("ulimit -f 0", &flags));
    watched.server.signal("USR2");
    eventually("the line is lost", || {
        watched.stats()["process"]["log_dropped"].as_u64().unwrap() > 0
    });
    assert!(is_served(&watched.server.connect()));
}

/// Signals that other programs take as reload, rotate or upgrade ended the server without a drain.
#[test]
fn a_signal_sent_by_habit_cuts_clients() {
    let folder = test_needs::folder();
    let log = folder.path().join("log");
    let server = ServerProcess::spawn_with_stderr(serve(&[]), File::create(&log).unwrap());
    let client = server.connect();
    for signal in ["HUP", "USR1", "USR2"] {
        server.signal(signal);
        expect_line(&log, &format!("SIG{signal} is ignored"));
        assert!(is_served(&client), "after SIG{signal}");
    }
    drop(client);
    assert!(server.terminate().0.success());
}

/// nginx, php-fpm and containers with their STOPSIGNAL use SIGQUIT for the end with a drain.
#[test]
fn a_sigquit_leaves_clients_and_socket_files() {
    let folder = test_needs::folder();
    let socket = folder.path().join("socket");
    let mut command = serve(&[]);
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    let server = ServerProcess::spawn(command);
    assert!(is_served(&server.connect()) && socket.exists());
    server.signal("QUIT");
    let (status, output) = server.wait();
    assert!(status.success() && output.contains("total"), "{status} {output}");
    assert!(!socket.exists());
}
