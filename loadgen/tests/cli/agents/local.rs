//! Agents that are processes of this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use serde_json::Value;

use super::{agents_in, agents_of, codes, exists, file};
use crate::process::echo_command;
use crate::program::*;
use crate::servers::Server;

/// What depends on the plan alone.
fn planned(record: &Value) -> Vec<u64> {
    let names = ["scheduled", "sent", "completed", "in_window", "measured", "bytes_sent"];
    names.iter().map(|name| count(record, name)).collect()
}

#[test]
fn four_agents_send_what_one_loader_sends() {
    let server = Server::echo();
    let flags = "-c 22 --rate 2k --size 10..900 --arrival constant --interval 100ms";
    let alone = load(&server, flags);
    let together = load(&server, &format!("{flags} --agents local:4 -t 2"));
    expect_no_errors(&alone);
    expect_no_errors(&together);
    let (alone, together) = (alone.json(), together.json());
    expect_conserved(&together);
    assert_eq!(planned(&together), planned(&alone));
    let agents = agents_in(&together);
    assert_eq!(agents.len(), 4);
    let connections: Vec<u64> =
        agents.iter().map(|agent| agent["connections"].as_u64().unwrap()).collect();
    assert_eq!(connections, [6, 6, 5, 5]);
    let completed = agents.iter().map(|agent| agent["counters"]["completed"].as_u64().unwrap());
    assert_eq!(completed.sum::<u64>(), count(&together, "completed"));
    for agent in agents {
        assert!(agent["clock_error_ns"].as_u64().unwrap() < 1_000_000_000, "{agent}");
        assert!(agent["clock_drift_ns"].is_i64() && agent["lost"].is_null(), "{agent}");
    }
    let run = &together["runs"][0];
    assert_eq!(run["threads"].as_array().unwrap().len(), 8);
    let intervals = run["intervals"].as_array().unwrap();
    let of_intervals: u64 = intervals.iter().map(|i| i["completed"].as_u64().unwrap()).sum();
    assert_eq!(of_intervals, count(&together, "completed"));
}

#[test]
fn a_closed_loop_and_several_runs_use_the_same_agents() {
    let server = Server::echo();
    let finished = load(&server, "-c 8 --agents local:3 --runs 2");
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(record["runs"].as_array().unwrap().len(), 2);
    let agents = |run: usize| record["runs"][run]["agents"].as_array().unwrap().len();
    assert_eq!((agents(0), agents(1)), (3, 3));
    assert_eq!(server.accepted(), 16);
}

#[test]
fn agents_get_the_files_that_the_flags_name_and_write_none() {
    let folder = test_needs::folder();
    let body = file(folder.path(), "body", "from a file");
    let text = format!("{{\"method\":\"POST\",\"path\":\"/x\",\"body_file\":\"{body}\"}}\n");
    let requests = file(folder.path(), "requests", &text);
    let server = Server::start(|mut client| {
        let head = "POST /x HTTP/1.1\r\n";
        loop {
            let request = client.read_some(4_096);
            if request.is_empty() {
                return;
            }
            let request = String::from_utf8(request).unwrap();
            let is_right = request.starts_with(head) && request.ends_with("from a file");
            let status = if is_right { "200 OK" } else { "400 Wrong" };
            client.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    let out = folder.path().join("out");
    let stream = folder.path().join("stream");
    let (out_name, stream_name) = (out.to_str().unwrap(), stream.to_str().unwrap());
    let finished = load(
        &server,
        &format!(
            "--protocol http -c 4 --rate 200 --agents local:2 --requests {requests} \
             --out {out_name} --json-stream {stream_name} --interval 50ms"
        ),
    );
    expect_no_errors(&finished);
    let record = finished.json();
    assert!(count(&record, "completed") > 0, "{record}");
    assert_eq!(count(&record, "unexpected_status"), 0, "{record}");
    let lines = std::fs::read_to_string(stream).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["counters"], record["counters"]);
    expect_the_same_when_made_again(&out);
}

#[test]
fn the_coordinator_starts_the_server_and_watches_it() {
    let address = unused_address();
    let command = echo_command();
    let flags = "--duration=200ms --warmup=50ms -c4 --agents=local:2 --json=-";
    let words = ["run", &address, "--server-cmd", &command].into_iter().chain(flags.split(' '));
    let finished = loadgen(&words.collect::<Vec<_>>());
    expect_no_errors(&finished);
    let record = finished.json();
    assert!(record["server"]["cpu_s"].as_f64().unwrap() > 0.0, "{record}");
}

#[test]
fn what_agents_cannot_do_is_refused() {
    for (flags, said) in [
        ("127.0.0.1:1 -c 3 --agents local:4", "4 agents for 3 connections"),
        ("127.0.0.1:1 --agents three", "write local:N, ssh://HOST,HOST, tls://ADDR:PORT or tcp:"),
        ("127.0.0.1:1 --agents tcp://127.0.0.1:0", "need --expect N"),
        ("127.0.0.1:1 --agents local:2 --expect 2", "--expect has no effect without"),
        ("redis://127.0.0.1:1 --agents local:2 --mix get:1,set:1", "add --verify none"),
    ] {
        let words: Vec<&str> = ["run"].into_iter().chain(flags.split(' ')).collect();
        expect_one_line(&loadgen(&words), 64, said);
    }
}

#[test]
fn an_agent_that_cannot_connect_ends_the_run_with_its_reason() {
    let address = unused_address();
    let finished = loadgen(&["run", &address, "-q", "--agents", "local:2"]);
    expect_one_line(&finished, 1, "connection refused");
    assert!(finished.stderr.contains("agent local "), "{finished:?}");
}

#[test]
fn an_interrupt_ends_all_agents_with_partial_results() {
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, "-c4", "--duration=60s", "--agents=local:3", "--json", "-"];
    let child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() > 10_000);
    let agents = agents_of(&child);
    assert_eq!(agents.len(), 3);
    signal(&child, "INT");
    let finished = wait(child);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "completed") > 0 && record["interrupted"] == true);
    assert!(codes(&record).contains(&"interrupted"), "{record}");
    assert!(!codes(&record).contains(&"agent-lost"), "{record}");
    assert!(agents.iter().all(|pid| !exists(*pid)), "an agent is left");
}

#[test]
fn a_coordinator_that_is_killed_ends_its_agents() {
    let server = Server::echo();
    let address = server.address();
    let words = ["run", &address, "-c4", "--duration=60s", "--agents=local:3"];
    let mut child = command(&words).spawn().unwrap();
    until(|| server.bytes_read() > 10_000);
    let agents = agents_of(&child);
    assert_eq!(agents.len(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| agents.iter().all(|pid| !exists(*pid)));
}

#[test]
fn an_agent_says_hello_on_its_standard_output_and_nothing_else_until_the_coordinator_ends_it() {
    let mut child = command(&["agent"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap();
    let version = loadgen(&["--version"]).stdout;
    assert_eq!(format!("loadgen {}", hello["hello"]["version"].as_str().unwrap()), version.trim());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{{\"ping\":{{\"sent_ns\":7}}}}").unwrap();
    line.clear();
    stdout.read_line(&mut line).unwrap();
    let pong: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(pong["pong"]["sent_ns"], 7);
    writeln!(stdin, "\"end\"").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let finished = wait(child);
    assert_eq!((finished.code, &*finished.stderr, &*rest), (Some(0), "", ""));
}

#[test]
fn an_agent_whose_coordinator_goes_without_a_word_says_so_and_has_failed() {
    let mut child = command(&["agent"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    let finished = wait(child);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stderr, "loadgen: the coordinator has gone: its stream has ended\n");
}

#[test]
fn an_agent_quotes_what_is_no_message() {
    let mut child = command(&["agent"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let finished = wait(child);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("'GET / HTTP/1.1' is no message of loadgen"), "{finished:?}");
}
