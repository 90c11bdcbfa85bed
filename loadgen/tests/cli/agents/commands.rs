//! `search`, `sweep` and `ab` over agents.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use super::ssh::{OTHER_SIDE, script};
use super::{agents_of, exists, file, send_signal};
use crate::program::*;
use crate::servers::Server;

/// How long a command of several runs may take.
const MOST: Duration = Duration::from_secs(60);

fn start(line: &str) -> Child {
    command(&line.split_whitespace().collect::<Vec<_>>()).spawn().unwrap()
}

fn finish(line: &str) -> Finished {
    wait_within(start(line), MOST)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What depends on the plan alone, of a run of one second or less.
fn planned(record: &Value) -> Vec<u64> {
    ["scheduled", "sent", "bytes_sent"].iter().map(|name| count(record, name)).collect()
}

#[test]
fn a_search_starts_its_agents_once_for_all_probes() {
    let server = Server::echo();
    let folder = test_needs::folder();
    let ssh = script(folder.path(), OTHER_SIDE);
    let (address, program) = (server.address(), env!("CARGO_BIN_EXE_loadgen"));
    let finished = finish(&format!(
        "search {address} --slo max<60s --from 200 --to 250 --confirm 2 --json - -c 5 \
         --duration 100ms --warmup 0s --agents ssh://one,two --agents-ssh {ssh} \
         --agents-program {program}"
    ));
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    let record = finished.json();
    assert_eq!(record["args"]["agents"], 2);
    let probes = record["probes"].as_array().unwrap();
    assert!(probes.len() >= 4, "{record}");
    let logins = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(logins.lines().count(), 2, "{logins}");
    // Each probe opens all connections anew.
    assert_eq!(server.accepted(), 5 * probes.len() as u64);
    let said = finished.stderr.matches("their clocks are known to").count();
    assert_eq!(said, 1, "{finished:?}");
}

#[test]
fn a_sweep_over_agents_sends_what_one_loader_sends_and_all_files_of_its_cells() {
    let folder = test_needs::folder();
    let server = Server::start(|mut client| {
        while !client.read_some(4_096).is_empty() {
            client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let short = file(folder.path(), "short", "/a\n");
    let long = file(folder.path(), "long", "/a/path/that/is/longer\n");
    let records = |name: &str, flags: &str| {
        let out = folder.path().join(name);
        let finished = finish(&format!(
            "sweep http://{} --var requests={short},{long} --var rate=100,200 --runs 1 -c 6 \
             --arrival constant --duration 200ms --warmup 0s --quiet --out {} {flags}",
            server.address(),
            out.display()
        ));
        assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
        let mut cells: Vec<_> =
            fs::read_dir(out.join("cells")).unwrap().map(|cell| cell.unwrap().path()).collect();
        cells.sort();
        cells.iter().map(|cell| json(&cell.join("run-01.json"))).collect::<Vec<Value>>()
    };
    let (alone, together) = (records("alone", ""), records("together", "--agents local:3"));
    assert_eq!((alone.len(), together.len()), (4, 4));
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(planned(together), planned(alone), "{together}");
        assert_eq!(together["args"]["rate"], alone["args"]["rate"]);
        assert_eq!(together["runs"][0]["agents"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn both_sides_of_a_comparison_are_loaded_by_the_same_agents() {
    let (a, b) = (Server::echo(), Server::echo());
    let folder = test_needs::folder();
    let out = folder.path().join("ab");
    let finished = finish(&format!(
        "ab --a-target {} --b-target {} --pairs 2 -c 4 --rate 200 --duration 100ms --warmup 0s \
         --agents local:2 --out {}",
        a.address(),
        b.address(),
        out.display()
    ));
    assert!(matches!(finished.code, Some(0 | 3)), "{finished:?}");
    let record = json(&out.join("ab.json"));
    let pairs = record["pairs"].as_array().unwrap();
    let connections = 4 * pairs.len() as u64;
    assert!(pairs.len() >= 2);
    assert_eq!((a.accepted(), b.accepted()), (connections, connections));
    for (side, server) in [("a", &a), ("b", &b)] {
        assert_eq!(record["plan"][side]["target"], server.address());
        assert_eq!(record["plan"][side]["agents"], 2);
    }
    // A busy machine may make each run INVALID; then it is not stored.
    for pair in pairs.iter().filter(|pair| pair["left_out"] == false) {
        let number = pair["number"].as_u64().unwrap();
        let run = json(&out.join(format!("pairs/b/run-{number:02}.json")));
        assert_eq!(run["runs"][0]["agents"].as_array().unwrap().len(), 2, "{run}");
    }
    assert_eq!(finished.stderr.matches("their clocks are known to").count(), 1, "{finished:?}");
}

/// Kills an agent once the server has read so many bytes.
fn kill_one(server: &Server, bytes: u64, child: &Child) -> Vec<u32> {
    until(|| server.bytes_read() > bytes);
    let agents = agents_of(child);
    send_signal(agents[1], "KILL");
    agents
}

#[test]
fn a_search_ends_with_what_it_knows_when_an_agent_is_lost_and_blames_no_rate_for_it() {
    let server = Server::start(|mut client| {
        // Slow enough that the closed loop leaves the count of bytes low.
        while client.echo_some(64) > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let child = start(&format!(
        "search {} --slo p50<60s --from 100 --to 100 -c 4 --size 100 --warmup 0s --duration 1s \
         --agents local:2 --json -",
        server.address()
    ));
    // The closed loop, and then a half of the first probe.
    until(|| server.accepted() == 8);
    let bytes = server.bytes_read() + 50 * 100;
    let agents = kill_one(&server, bytes, &child);
    let finished = wait_within(child, MOST);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("agent local 1 was lost: its stream has"), "{finished:?}");
    let record = finished.json();
    assert_eq!(record["answer"]["end"], "failed");
    assert_eq!(record["answer"]["missed_per_s"], Value::Null, "{record}");
    let probes = record["probes"].as_array().unwrap();
    assert_eq!(probes.len(), 2, "{record}");
    assert_eq!(probes[1]["decision"], "loader-limited", "{record}");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}

#[test]
fn a_sweep_leaves_out_the_run_that_lost_an_agent_and_measures_it_when_it_is_repeated() {
    let server = Server::echo();
    let folder = test_needs::folder();
    let out = folder.path().join("sweep");
    let line = format!(
        "sweep {} --var size=100,200 --runs 1 -c 4 --rate 500 --arrival constant --warmup 0s \
         --duration 600ms --quiet --agents local:2 --out {}",
        server.address(),
        out.display()
    );
    let child = start(&line);
    // The first run is over when the connections of the second are there.
    until(|| server.accepted() == 8);
    let bytes = server.bytes_read() + 10_000;
    kill_one(&server, bytes, &child);
    let finished = wait_within(child, MOST);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let said = "agent local 1 was lost: its stream has ended; the others are not the same loader";
    assert!(finished.stderr.contains(said), "{finished:?}");
    let rows = || fs::read_to_string(out.join("sweep.csv")).unwrap().lines().count() - 1;
    assert_eq!((json(&out.join("sweep.json"))["complete"].clone(), rows()), (false.into(), 1));
    let again = finish(&line);
    assert!(matches!(again.code, Some(0 | 3)), "{again:?}");
    assert_eq!((json(&out.join("sweep.json"))["complete"].clone(), rows()), (true.into(), 2));
    let other_agents = finish(&line.replace("local:2", "local:4"));
    expect_one_line(&other_agents, 64, "agents: 2 there, 4 here");
}

#[test]
fn a_comparison_keeps_the_pairs_before_the_one_that_lost_an_agent() {
    let (a, b) = (Server::echo(), Server::echo());
    let folder = test_needs::folder();
    let out = folder.path().join("ab");
    let child = start(&format!(
        "ab --a-target {} --b-target {} --pairs 9 -c 4 --rate 200 --duration 500ms --warmup 0s \
         --agents local:2 --quiet --out {}",
        a.address(),
        b.address(),
        out.display()
    ));
    until(|| a.accepted() == 8 || b.accepted() == 8);
    let agents = agents_of(&child);
    send_signal(agents[0], "KILL");
    let finished = wait_within(child, MOST);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("agent local 0"), "{finished:?}");
    let record = json(&out.join("ab.json"));
    assert_eq!(record["pairs"].as_array().unwrap().len(), 1, "{record}");
    assert_eq!(record["interrupted"], true);
}

#[test]
fn an_interrupt_of_a_search_ends_all_its_agents() {
    let server = Server::echo();
    let flags = "--slo max<60s --duration 60s --warmup 0s -c 3 --agents local:3 --json -";
    let child = start(&format!("search {} {flags}", server.address()));
    until(|| server.bytes_read() > 10_000);
    let agents = agents_of(&child);
    assert_eq!(agents.len(), 3);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert_eq!(finished.json()["answer"]["end"], "interrupted");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}
