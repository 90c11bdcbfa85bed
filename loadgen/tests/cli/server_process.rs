//! `--server-cmd` and `--server-pid`: the server started, watched and stopped, or why not.

use std::net::TcpStream;
use std::process::Child;

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
    let command = echo_command();
    let words = ["run", &address, "--duration=60s", "-c1", "--server-cmd", &command];
    let child = crate::program::command(&words).spawn().unwrap();
    let server = started_by(&child);
    until(|| serves_the_load(server));
    signal(&child, "INT");
    assert_eq!(wait(child).code, Some(130));
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

/// The process that a loader has started.
fn started_by(loader: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", loader.id());
    let children = || std::fs::read_to_string(&path).unwrap_or_default();
    until(|| !children().is_empty());
    children().split_whitespace().next().unwrap().parse().unwrap()
}

/// Whether a server has a worker for the load, besides that for the connect that found it ready.
fn serves_the_load(server: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm"));
    let names = tasks.filter_map(|task| name(task.path()).ok());
    names.filter(|name| name.starts_with("worker")).count() > 1
}

fn kill(pid: u32, name: &str) {
    let line = format!("kill -{name} {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
}
