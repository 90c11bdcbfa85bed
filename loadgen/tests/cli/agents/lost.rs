//! Agents that are killed or stopped, at each stage of a run.

use std::net::TcpListener;
use std::process::Child;

use serde_json::Value;
use test_needs::Need;

use super::{agents_in, agents_of, codes, exists, send_signal};
use crate::program::*;
use crate::servers::Server;

/// A run of two agents at 1,000 requests a second, its record on stdout.
fn start(server: &Server, flags: &str) -> Child {
    let address = server.address();
    let common = "-c4 --rate=1k --arrival=constant --warmup=0s --agents=local:2 --json=-";
    let words = ["run", &address].into_iter().chain(common.split(' '));
    command(&words.chain(flags.split(' ')).collect::<Vec<_>>()).spawn().unwrap()
}

/// Of a run in which one of two agents was lost, the record.
#[track_caller]
fn expect_one_lost(finished: &Finished, scheduled: u64) -> Value {
    // It has errors if requests were outstanding, and is INVALID in any case.
    assert!(matches!(finished.code, Some(1 | 3)), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "scheduled"), scheduled, "all requests of the plan are counted");
    assert_eq!(record["validity"]["verdict"], "INVALID");
    assert!(codes(&record).contains(&"agent-lost"), "{record}");
    let lost: Vec<bool> =
        agents_in(&record).iter().map(|agent| agent["lost"].is_string()).collect();
    assert_eq!(lost.iter().filter(|lost| **lost).count(), 1, "{record}");
    let other = &agents_in(&record)[usize::from(lost[0])];
    assert_eq!(other["counters"]["completed"], scheduled / 2, "the other one goes on: {record}");
    let unanswered = count(&record, "unsent") + count(&record, "censored");
    assert_eq!(count(&record, "completed") + unanswered, scheduled, "{record}");
    record
}

#[test]
fn an_agent_that_is_killed_while_it_loads_is_lost_and_none_of_its_requests_is_forgotten() {
    let server = Server::echo();
    let child = start(&server, "--duration=2s --interval=100ms");
    // 64 bytes each, so a quarter of the requests.
    until(|| server.bytes_read() > 500 * 64);
    let agents = agents_of(&child);
    send_signal(agents[1], "KILL");
    let record = expect_one_lost(&wait(child), 2_000);
    let lost = agents_in(&record).iter().find(|agent| agent["lost"].is_string()).unwrap();
    assert!(lost["counters"]["completed"].as_u64().unwrap() > 100, "{lost}");
    assert!(lost["counters"]["unsent"].as_u64().unwrap() > 300, "{lost}");
    // Half of the later requests had no reply: the worst percentiles are lower bounds.
    assert!(record["latency_ns"]["response"]["censored"].as_u64().unwrap() > 300, "{record}");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}

#[test]
fn an_agent_that_is_killed_before_its_first_report_has_sent_nothing_that_is_known() {
    let server = Server::echo();
    let child = start(&server, "--duration=1s --interval=10s");
    until(|| server.bytes_read() > 100 * 64);
    send_signal(agents_of(&child)[0], "KILL");
    let record = expect_one_lost(&wait(child), 1_000);
    assert_eq!(agents_in(&record)[0]["counters"]["unsent"], 500, "{record}");
}

#[test]
fn an_agent_that_is_killed_while_it_waits_for_the_last_replies_is_lost() {
    // The last replies never come.
    let server = Server::start(|mut client| {
        for _ in 0..50 {
            if client.echo_some(64) == 0 {
                return;
            }
        }
        client.swallow();
    });
    let child = start(&server, "--duration=300ms --interval=50ms --drain=5s --timeout=30s");
    until(|| server.bytes_read() >= 300 * 64);
    let agents = agents_of(&child);
    send_signal(agents[0], "KILL");
    let finished = wait(child);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "scheduled"), 300, "{record}");
    assert!(codes(&record).contains(&"agent-lost"), "{record}");
}

#[test]
fn an_agent_that_is_killed_while_it_connects_ends_the_run() {
    if test_needs::missing(Need::Descriptors(1_000)) {
        return;
    }
    // Nothing accepts: connects beyond the queue of 128 get no answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = ["run", &address, "-q", "-c900", "--timeout=60s", "--agents=local:2"];
    let child = command(&words).spawn().unwrap();
    until(|| agents_of(&child).len() == 2);
    let agents = agents_of(&child);
    // Each has a socket beside its three streams.
    let descriptors = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    until(|| agents.iter().all(|pid| descriptors(pid).unwrap_or(0) > 20));
    send_signal(agents[1], "KILL");
    let finished = wait(child);
    expect_one_line(&finished, 1, "agent local 1: its stream has ended");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}

#[test]
fn an_agent_that_a_signal_ends_is_lost() {
    let server = Server::echo();
    let child = start(&server, "--duration=2s --interval=100ms");
    until(|| server.bytes_read() > 500 * 64);
    send_signal(agents_of(&child)[0], "TERM");
    let record = expect_one_lost(&wait(child), 2_000);
    let why = agents_in(&record)[0]["lost"].as_str().unwrap();
    assert_eq!(why, "a signal has ended it");
}

#[test]
fn an_agent_that_is_stopped_is_lost_after_ten_seconds_and_ended() {
    let server = Server::echo();
    let child = start(&server, "--duration=1s --interval=100ms");
    until(|| server.bytes_read() > 300 * 64);
    let agents = agents_of(&child);
    send_signal(agents[1], "STOP");
    let record = expect_one_lost(&wait(child), 1_000);
    let why = agents_in(&record)[1]["lost"].as_str().unwrap();
    assert_eq!(why, "it said nothing for 10s");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}

#[test]
fn a_run_whose_agents_are_all_lost_ends_with_what_there_is() {
    let server = Server::echo();
    let child = start(&server, "--duration=60s --interval=50ms");
    until(|| server.bytes_read() > 300 * 64);
    agents_of(&child).into_iter().for_each(|pid| send_signal(pid, "KILL"));
    let finished = wait(child);
    assert!(matches!(finished.code, Some(1 | 3)), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "completed") > 0, "{record}");
    assert!(agents_in(&record).iter().all(|agent| agent["lost"].is_string()), "{record}");
}

#[test]
fn runs_after_one_that_lost_an_agent_waited_for_it() {
    let server = Server::echo();
    let child = start(&server, "--duration=1s --interval=100ms --runs=3");
    until(|| server.bytes_read() > 100 * 64);
    send_signal(agents_of(&child)[1], "KILL");
    let finished = wait(child);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let expected = "run 2 of 3: agent local 1 was lost: its stream has ended; the others are not";
    assert!(finished.stderr.contains(expected), "{finished:?}");
    let record = finished.json();
    assert_eq!(record["runs"].as_array().unwrap().len(), 1);
    assert!(!codes(&record).contains(&"below-rate"), "its share is missing anyhow: {record}");
}
