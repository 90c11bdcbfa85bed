//! `--server-cmd` and `--server-pid`: the server started, watched and stopped, or why not.

use std::fs;
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::echo_command;
use crate::program::*;
use crate::servers::Server;

/// A short run that starts this command as the server of an address without a listener.
fn run(address: &str, command: &str) -> Finished {
    let words = ["run", address, "--duration=200ms", "--warmup=50ms", "-c2", "--json", "-"];
    loadgen(&[&words[..], &["--server-cmd", command]].concat())
}

/// A run of the same kind that cannot start.
fn refusal(address: &str, command: &str) -> String {
    let finished = run(address, command);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");
    finished.stderr
}

fn expect_free(address: &str) {
    assert!(TcpStream::connect(address).is_err(), "the server is still there");
}

#[test]
fn a_server_is_started_watched_and_stopped_with_the_run() {
    let address = unused_address();
    let finished = run(&address, &echo_command());
    assert_eq!(finished.code.map(|code| code == 1), Some(false), "{finished:?}");
    let record = finished.json();
    let server = &record["server"];
    assert!(server["cpu_s"].as_f64().unwrap() > 0.0, "{server}");
    assert!(server["cpu_us_per_request"].as_f64().unwrap() > 0.0, "{server}");
    assert!(server["rss_bytes"].as_u64().unwrap() > 0, "{server}");
    assert_eq!(server["program_sha256"].as_str().unwrap().len(), 64);
    let is_worker = |thread: &&Value| thread["name"] == "worker-0";
    assert_eq!(server["threads"].as_array().unwrap().iter().filter(is_worker).count(), 2);
    expect_free(&address);
}

#[test]
fn every_run_has_a_server_of_its_own() {
    let address = unused_address();
    let command = echo_command();
    let words = ["run", &address, "--duration=50ms", "--warmup=0s", "-c1", "--runs=3"];
    let words = [&words[..], &["--json", "-", "--server-cmd", &command]].concat();
    let record = loadgen(&words).json();
    let pids: Vec<u64> = record["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["server"]["pid"].as_u64().unwrap())
        .collect();
    assert!(pids.len() == 3 && pids[0] != pids[1] && pids[1] != pids[2], "{pids:?}");
    expect_free(&address);
}

#[test]
fn another_server_at_the_address_is_not_measured_instead() {
    let server = Server::echo();
    let said = refusal(&server.address(), &echo_command());
    assert!(said.contains("already accepts connections"), "{said}");
}

#[test]
fn a_server_that_cannot_be_started_is_named() {
    let said = refusal(&unused_address(), "/no/such/server --fast");
    assert!(said.contains("start the server '/no/such/server --fast'"), "{said}");
}

#[test]
fn a_server_that_ends_at_once_is_quoted() {
    let said = refusal(&unused_address(), "sh -c 'echo the port is taken >&2; exit 7'");
    assert!(said.contains("exit code 7") && said.contains("the port is taken"), "{said}");
}

#[test]
fn a_command_that_is_no_command_is_a_usage_error() {
    let finished = run(&unused_address(), "serve 'a b");
    assert_eq!(finished.code, Some(64), "{finished:?}");
    let finished = loadgen(&["run", "--server-pid", "4194305", &unused_address()]);
    expect_one_line(&finished, 1, "there is no process 4194305");
}

#[test]
fn a_server_that_dies_during_the_run_is_reported() {
    let address = unused_address();
    let command = echo_command();
    let words = ["run", &address, "--duration=30s", "--warmup=0s", "-c1", "--timeout=200ms"];
    let words = [&words[..], &["--json", "-", "--server-cmd", &command]].concat();
    let child = crate::program::command(&words).spawn().unwrap();
    let server = started_by(&child);
    until(|| serves_the_load(server));
    kill(server, "KILL");
    let finished = wait(child);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("ended during the run (signal 9)"), "{finished:?}");
}

#[test]
fn an_interrupt_stops_the_server_too() {
    let address = unused_address();
    let (loader, _) = long_run(&address, &echo_command());
    signal(&loader, "INT");
    assert_eq!(wait(loader).code, Some(130));
    expect_free(&address);
}

/// Starts a long run that starts this command, and waits until the server is loaded.
fn long_run(address: &str, command: &str) -> (Child, u32) {
    let words = ["run", address, "--duration=60s", "-c1", "--server-cmd", command];
    let loader = crate::program::command(&words).spawn().unwrap();
    let server = started_by(&loader);
    until(|| serves_the_load(server));
    (loader, server)
}

#[test]
fn a_server_ends_with_a_loader_that_is_killed_or_that_a_second_signal_ends() {
    for signals in [&["KILL"][..], &["INT", "INT"]] {
        let address = unused_address();
        let (mut loader, server) = long_run(&address, &echo_command());
        while loader.try_wait().unwrap().is_none() {
            signals.iter().for_each(|name| signal(&loader, name));
        }
        // The first thread of a process may have ended before those that serve.
        until(|| !is_running(server) && TcpStream::connect(&address).is_err());
    }
}

#[test]
fn a_server_is_asked_to_end_before_what_it_started_is_killed() {
    let folder = test_needs::folder();
    let (asked, other) = (folder.path().join("asked"), folder.path().join("other"));
    let script = folder.path().join("server.sh");
    // The second process does not listen to SIGTERM.
    let text = format!(
        "trap '' TERM; sleep 60 & echo $! > {other}; trap 'touch {asked}; exit' TERM\n\
         {} & while :; do wait; done\n",
        echo_command().replace("{addr}", "$1"),
        other = other.display(),
        asked = asked.display()
    );
    fs::write(&script, text).unwrap();
    let address = unused_address();
    let finished = run(&address, &format!("sh {} {{addr}}", script.display()));
    assert_ne!(finished.code, Some(1), "{finished:?}");
    assert!(asked.exists());
    let other = fs::read_to_string(other).unwrap().trim().parse().unwrap();
    assert!(!is_running(other));
    expect_free(&address);
}

#[test]
fn a_command_that_puts_itself_into_the_background_is_refused_and_nothing_stays_behind() {
    let echo = echo_command();
    for command in [
        format!("sh -c \"{} &\"", echo.replace('\'', "")),
        format!("setsid --fork {echo}"),
        // It serves before it leaves its child alone.
        format!("sh -c \"{} & sleep 0.1\"", echo.replace('\'', "")),
    ] {
        let (address, begun) = (unused_address(), Instant::now());
        let finished = run(&address, &command);
        // It ends when it is asked to: no one waits until it is killed.
        assert!(begun.elapsed() < Duration::from_secs(5), "{command}: {finished:?}");
        assert_eq!(finished.code, Some(1), "{command}: {finished:?}");
        let said = "it put itself into the background: its process ended (exit code 0), and ";
        assert!(finished.stderr.contains(said), "{command}: {finished:?}");
        expect_free(&address);
    }
}

#[test]
fn runs_before_one_whose_server_does_not_start_are_printed_and_stored() {
    let folder = test_needs::folder();
    let (once, out) = (folder.path().join("once"), folder.path().join("out"));
    let script = folder.path().join("server.sh");
    let text = format!(
        "test -e {once} && exit 9; touch {once}; exec {}",
        echo_command().replace("{addr}", "$1"),
        once = once.display()
    );
    fs::write(&script, text).unwrap();
    let command = format!("sh {} {{addr}}", script.display());
    let address = unused_address();
    let words = ["run", &address, "--duration=100ms", "--warmup=0s", "-c1", "--runs=3"];
    let more = ["--json=-", "--server-cmd", &command, "--out", out.to_str().unwrap()];
    let finished = loadgen(&[&words[..], &more].concat());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("run 2 of 3: start the server"), "{finished:?}");
    let record = finished.json();
    assert_eq!(record["runs"].as_array().unwrap().len(), 1);
    assert!(count(&record, "measured") > 0);
    assert_eq!(fs::read_to_string(out.join("result.json")).unwrap(), finished.stdout);
}

#[test]
fn runs_before_an_interrupt_while_a_server_starts_are_printed() {
    let folder = test_needs::folder();
    let (once, script) = (folder.path().join("once"), folder.path().join("server.sh"));
    let again = folder.path().join("again");
    let text = format!(
        "test -e {once} && touch {again} && exec sleep 60; touch {once}; exec {}",
        echo_command().replace("{addr}", "$1"),
        once = once.display(),
        again = again.display()
    );
    fs::write(&script, text).unwrap();
    let command = format!("sh {} {{addr}}", script.display());
    let address = unused_address();
    let words = ["run", &address, "--duration=100ms", "--warmup=0s", "-c1", "--runs=3"];
    let words = [&words[..], &["--json=-", "--server-cmd", &command]].concat();
    let child = crate::program::command(&words).spawn().unwrap();
    until(|| again.exists());
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    assert_eq!(
        (record["runs"].as_array().unwrap().len(), &record["interrupted"]),
        (1, &true.into())
    );
}

/// A server whose first thread ends, but not the process, when the first byte has come.
const FIRST_THREAD_ENDS: &str = "
import ctypes, os, socket, sys, threading
host, port = sys.argv[1].split(':')
listener = socket.create_server((host, int(port)))
loaded = threading.Event()
def echo(client):
    while data := client.recv(65536):
        loaded.set()
        client.sendall(data)
def serve():
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],)).start()
threading.Thread(target=serve).start()
loaded.wait()
ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)
";

#[test]
fn a_server_whose_first_thread_ends_has_not_ended() {
    let Some(python) = test_needs::program("python3") else { return };
    let (folder, address) = (test_needs::folder(), unused_address());
    let script = folder.path().join("server.py");
    fs::write(&script, FIRST_THREAD_ENDS).unwrap();
    let finished = run(&address, &format!("{} {} {{addr}}", python.display(), script.display()));
    assert_ne!(finished.code, Some(1), "{finished:?}");
    assert!(!finished.stderr.contains("ended during the run"), "{finished:?}");
    assert!(count(&finished.json(), "measured") > 0);
    expect_free(&address);
}

#[test]
fn a_running_server_is_watched_and_left_alone() {
    let server = Server::echo();
    let pid = std::process::id().to_string();
    let record = load(&server, &format!("-c 2 --server-pid {pid}")).json();
    assert_eq!(record["server"]["pid"].to_string(), pid);
    assert!(record["server"]["cpu_s"].as_f64().unwrap() > 0.0);
    assert!(TcpStream::connect(server.address()).is_ok());
}

/// The server that a loader has started, by way of its supervisor.
fn started_by(loader: &Child) -> u32 {
    child_of(child_of(loader.id()))
}

fn child_of(pid: u32) -> u32 {
    let children = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
        tasks.filter_map(of_task).collect::<String>()
    };
    until(|| !children().is_empty());
    children().split_whitespace().next().unwrap().parse().unwrap()
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Whether a server has a worker for the load, besides that for the connect that found it ready.
fn serves_the_load(server: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let name = |path: std::path::PathBuf| fs::read_to_string(path.join("comm"));
    let names = tasks.filter_map(|task| name(task.path()).ok());
    names.filter(|name| name.starts_with("worker")).count() > 1
}

fn kill(pid: u32, name: &str) {
    let line = format!("kill -{name} {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
}
