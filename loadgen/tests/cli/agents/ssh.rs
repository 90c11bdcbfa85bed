//! Agents that the coordinator starts with ssh. A script takes the place of ssh.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{agents_in, file};
use crate::program::*;
use crate::servers::Server;

/// A script in place of ssh, which adds its arguments to `log` first.
pub(super) fn script(folder: &Path, text: &str) -> String {
    let log = folder.join("log");
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {}\n{text}\n", log.display());
    let ssh = file(folder, "ssh", &text);
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    ssh
}

/// Runs the last argument, which is the command line for the other side.
pub(super) const OTHER_SIDE: &str = "for last; do :; done; exec sh -c \"$last\"";

/// A run with this script in place of ssh, and the program that is tested on the other side.
pub(super) fn load_with_script(server: &Server, text: &str, flags: &str) -> (Finished, String) {
    let folder = test_needs::folder();
    let ssh = script(folder.path(), text);
    let program = env!("CARGO_BIN_EXE_loadgen");
    let flags = format!("{flags} --agents-ssh {ssh} --agents-program {program}");
    let finished = load(server, &flags);
    let log = std::fs::read_to_string(folder.path().join("log"));
    (finished, log.unwrap_or_default())
}

#[test]
fn hosts_are_logged_in_to_and_each_runs_an_agent() {
    let flags = "-c 6 --rate 500 --agents ssh://one,me@two:2222,three";
    let (finished, log) = load_with_script(&Server::echo(), OTHER_SIDE, flags);
    expect_no_errors(&finished);
    let record = finished.json();
    let names: Vec<&str> =
        agents_in(&record).iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "me@two:2222", "three"]);
    let program = env!("CARGO_BIN_EXE_loadgen");
    let mut logins: Vec<&str> = log.lines().collect();
    logins.sort_unstable();
    let agent = |of: &str| format!("{of} {program} agent");
    assert_eq!(logins, [agent("-- one"), agent("-- three"), agent("-p 2222 -- me@two")]);
}

#[test]
fn a_host_that_cannot_be_reached_is_named_with_the_words_of_ssh() {
    let script = "echo 'ssh: connect to host one port 22: No route to host' >&2; exit 255";
    let (finished, _) = load_with_script(&Server::echo(), script, "-q -c 2 --agents ssh://one");
    expect_one_line(&finished, 1, "agent one: it ended before its hello; its last words: ssh: ");
    assert!(finished.stderr.contains("No route to host"), "{finished:?}");
}

#[test]
fn an_agent_that_dies_before_its_hello_is_named() {
    let (finished, _) =
        load_with_script(&Server::echo(), "kill -9 $$", "-q -c 2 --agents ssh://one");
    expect_one_line(&finished, 1, "agent one: it ended before its hello");
}

#[test]
fn another_version_is_refused_with_both_versions() {
    let hello = r#"echo '{"hello":{"version":"0.0.1"}}'; cat > /dev/null"#;
    let (finished, _) = load_with_script(&Server::echo(), hello, "-q -c 2 --agents ssh://one");
    let version = env!("CARGO_PKG_VERSION");
    let said = format!("it is loadgen 0.0.1, and the coordinator is loadgen {version}");
    expect_one_line(&finished, 1, &said);
}

#[test]
fn what_a_login_script_prints_is_quoted_with_the_remedy() {
    let (finished, _) = load_with_script(
        &Server::echo(),
        "echo 'Welcome to one'; cat > /dev/null",
        "-q -c 2 --agents ssh://one",
    );
    expect_one_line(&finished, 1, "'Welcome to one' is no message of loadgen");
    assert!(finished.stderr.contains("must print nothing unless the shell is interactive"));
}

#[test]
fn the_variables_for_ssh_mean_nothing_to_a_run_without_agents() {
    let server = Server::echo();
    let address = server.address();
    let mut command = command(&["run", &address, "--duration=100ms", "--warmup=0s", "--json", "-"]);
    command.env("LOADGEN_SSH", "no-such-ssh").env("LOADGEN_AGENT_PROGRAM", "/no/such");
    let finished = wait(command.spawn().unwrap());
    expect_no_errors(&finished);
    assert!(agents_in(&finished.json()).is_empty(), "{finished:?}");
}

/// The agents live in a time namespace.
#[test]
fn a_monotonic_clock_that_is_three_seconds_ahead_changes_nothing() {
    if test_needs::missing(test_needs::Need::TimeNamespace) {
        return;
    }
    let script = "for last; do :; done; exec unshare -T --monotonic 3 --fork sh -c \"$last\"";
    let flags = "-c 6 --rate 500 --arrival constant --agents ssh://one,two";
    let (finished, _) = load_with_script(&Server::echo(), script, flags);
    expect_no_errors(&finished);
    let record = finished.json();
    assert_eq!(count(&record, "scheduled"), 125, "{record}");
    let late = agents_in(&record)[0]["start_late_ns"].as_u64().unwrap();
    assert!(late < 1_000_000_000, "{record}");
}
