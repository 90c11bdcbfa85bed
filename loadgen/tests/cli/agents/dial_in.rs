//! Agents that dial in.

use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpStream;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use test_needs::Need;

use super::{agents_in, file};
use crate::program::*;
use crate::servers::Server;

/// A server, a place for a coordinator, and the file of the token.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) address: String,
    pub(super) scheme: &'static str,
    pub(super) token: String,
    pub(super) folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new(scheme: &'static str) -> Self {
        let folder = test_needs::folder();
        let token = file(folder.path(), "token", "a secret\n");
        Self { server: Server::echo(), address: unused_address(), scheme, token, folder }
    }

    /// A short run of so many agents.
    pub(super) fn coordinator(&self, expect: u32, flags: &str) -> Child {
        let server = self.server.address();
        let agents = format!("{}://{}", self.scheme, self.address);
        let expect = expect.to_string();
        let words = ["run", &server, "--agents", &agents, "--expect", &expect];
        let common = "--duration=200ms --warmup=50ms -c6 --json=- --token-file";
        let words = words.into_iter().chain(common.split(' ')).chain([&*self.token]);
        let words: Vec<&str> = words.chain(flags.split_whitespace()).collect();
        command(&words).spawn().unwrap()
    }

    pub(super) fn agent(&self, token: &str, flags: &str) -> Child {
        agent_of(&format!("{}://{}", self.scheme, self.address), token, flags)
    }
}

/// An agent that dials in to a coordinator.
pub(super) fn agent_of(coordinator: &str, token: &str, flags: &str) -> Child {
    let words = ["agent", "--connect", coordinator, "--token-file", token];
    let words: Vec<&str> = words.into_iter().chain(flags.split_whitespace()).collect();
    let mut command = command(&words);
    for name in ["JOB_COMPLETION_INDEX", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"] {
        command.env_remove(name);
    }
    command.spawn().unwrap()
}

/// Reads what a program says until a line has these words. It may say more without a reader.
pub(super) fn read_until(stderr: impl Read, said: &str) {
    let mut lines = BufReader::new(stderr).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(said)));
    assert!(found.is_some(), "it never said '{said}'");
}

#[test]
fn three_agents_dial_in_and_are_one_loader() {
    for scheme in ["tcp", "tls"] {
        let site = Site::new(scheme);
        // The agents may come first.
        let first = site.agent(&site.token, "--rank 2");
        let coordinator = site.coordinator(3, "--rate=500 --runs 2");
        let others = [site.agent(&site.token, ""), site.agent(&site.token, "--rank 0")];
        let finished = wait(coordinator);
        expect_no_errors(&finished);
        let record = finished.json();
        let ranks: Vec<u64> =
            agents_in(&record).iter().map(|agent| agent["rank"].as_u64().unwrap()).collect();
        assert_eq!(ranks, [0, 1, 2]);
        assert!(agents_in(&record).iter().all(|agent| agent["lost"].is_null()), "{record}");
        for agent in [first].into_iter().chain(others) {
            let finished = wait(agent);
            assert_eq!((finished.code, &*finished.stderr), (Some(0), ""), "{finished:?}");
        }
    }
}

#[test]
fn an_agent_with_another_token_is_refused_and_the_run_waits_for_others() {
    for scheme in ["tcp", "tls"] {
        let site = Site::new(scheme);
        let coordinator = site.coordinator(1, "");
        let wrong = file(site.folder.path(), "wrong", "a guess");
        let refused = wait(site.agent(&wrong, ""));
        expect_one_line(&refused, 1, "refuses this agent: the token is wrong");
        // The coordinator has read its token. The file of the right agent is another one.
        let copy = file(site.folder.path(), "copy", "a secret");
        std::fs::remove_file(&site.token).unwrap();
        let right = site.agent(&copy, "");
        let finished = wait(coordinator);
        expect_no_errors(&finished);
        assert!(finished.stderr.contains("is refused: the token is wrong"), "{finished:?}");
        assert_eq!(wait(right).code, Some(0));
    }
}

#[test]
fn an_agent_that_speaks_another_scheme_is_refused_with_the_right_one() {
    for (scheme, other, by_agent, by_coordinator) in [
        (
            "tls",
            "tcp",
            "the coordinator refuses this agent: it does not speak TLS; give it --connect tls://",
            "it does not speak TLS; give it --connect tls://",
        ),
        (
            "tcp",
            "tls",
            "does a coordinator with --agents tls:// listen there?",
            "it speaks TLS, and this is --agents tcp://; give it --connect tcp://",
        ),
    ] {
        let site = Site::new(scheme);
        let coordinator = site.coordinator(1, "");
        let refused = wait(agent_of(&format!("{other}://{}", site.address), &site.token, ""));
        expect_one_line(&refused, 1, by_agent);
        let right = site.agent(&site.token, "");
        let finished = wait(coordinator);
        expect_no_errors(&finished);
        assert!(finished.stderr.contains(by_coordinator), "{finished:?}");
        assert_eq!(wait(right).code, Some(0));
    }
}

#[test]
fn an_agent_that_comes_too_late_receives_the_reason() {
    let site = Site::new("tls");
    let coordinator = site.coordinator(1, "--duration=30s");
    let agent = site.agent(&site.token, "");
    until(|| site.server.bytes_read() > 1_000);
    let late = wait(site.agent(&site.token, ""));
    expect_one_line(&late, 1, "it is too late: all of 1 agent (--expect) have dialled in");
    signal(&coordinator, "INT");
    assert_eq!(wait(coordinator).code, Some(130));
    assert_eq!(wait(agent).code, Some(0));
}

#[test]
fn the_place_of_an_agent_that_dies_while_others_are_awaited_is_free_again() {
    for scheme in ["tcp", "tls"] {
        let site = Site::new(scheme);
        let mut coordinator = site.coordinator(2, "");
        let mut first = site.agent(&site.token, "--rank 1");
        // One of two that want the rank is refused, and so the other one has it.
        let mut second = site.agent(&site.token, "--rank 1");
        until(|| has_ended(&first) || has_ended(&second));
        first.kill().unwrap();
        second.kill().unwrap();
        let stderr = coordinator.stderr.take().unwrap();
        read_until(stderr, "has gone; 0 of 2 have dialled in");
        let others = [site.agent(&site.token, "--rank 1"), site.agent(&site.token, "")];
        expect_no_errors(&wait(coordinator));
        for agent in others {
            assert_eq!(wait(agent).code, Some(0));
        }
        let _ = (first.wait(), second.wait());
    }
}

#[test]
fn strangers_that_say_nothing_delay_no_agent() {
    if test_needs::missing(Need::Descriptors(2_000)) {
        return;
    }
    let site = Site::new("tls");
    let mut coordinator = site.coordinator(2, "");
    let stderr = BufReader::new(coordinator.stderr.take().unwrap());
    let mut lines = stderr.lines();
    assert!(lines.next().unwrap().unwrap().contains("wait for 2 agents at tls://"));
    // More than there are handshakes at once.
    let connect = |_| TcpStream::connect(&site.address).unwrap();
    let strangers: Vec<TcpStream> = (0..600).map(connect).collect();
    let begun = Instant::now();
    let agents = [site.agent(&site.token, ""), site.agent(&site.token, "")];
    until(|| site.server.accepted() == 6);
    // A handshake of a stranger would take ten seconds, and these are three times as many.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(strangers);
    thread::spawn(move || lines.for_each(drop));
    expect_no_errors(&wait(coordinator));
    for agent in agents {
        assert_eq!(wait(agent).code, Some(0));
    }
}

#[test]
fn an_agent_whose_coordinator_is_interrupted_has_done_its_part() {
    let site = Site::new("tcp");
    let coordinator = site.coordinator(1, "--duration=30s");
    let agent = site.agent(&site.token, "");
    until(|| site.server.bytes_read() > 1_000);
    signal(&coordinator, "TERM");
    let finished = wait(coordinator);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let finished = wait(agent);
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""), "{finished:?}");
}

#[test]
fn an_agent_whose_coordinator_is_killed_says_that_it_has_gone() {
    for scheme in ["tcp", "tls"] {
        let site = Site::new(scheme);
        let mut coordinator = site.coordinator(1, "--duration=30s");
        let agent = site.agent(&site.token, "");
        until(|| site.server.bytes_read() > 1_000);
        coordinator.kill().unwrap();
        coordinator.wait().unwrap();
        expect_one_line(&wait(agent), 1, "the coordinator has gone: ");
    }
}

#[test]
fn a_rank_that_is_taken_or_too_large_is_refused() {
    let site = Site::new("tcp");
    let coordinator = site.coordinator(2, "");
    let first = site.agent(&site.token, "--rank 1");
    let too_large = wait(site.agent(&site.token, "--rank 2"));
    expect_one_line(&too_large, 1, "rank 2 is none of the ranks 0 to 1");
    // One of the two that want rank 1 gets it.
    let second = site.agent(&site.token, "--rank 1");
    until(|| has_ended(&first) || has_ended(&second));
    let last = site.agent(&site.token, "--rank 0");
    expect_no_errors(&wait(coordinator));
    let mut ended = [wait(first), wait(second)];
    ended.sort_by_key(|finished| finished.code);
    assert_eq!(ended[0].code, Some(0), "{ended:?}");
    expect_one_line(&ended[1], 1, "has rank 1 already");
    assert_eq!(wait(last).code, Some(0));
}

#[test]
fn agents_that_do_not_come_are_counted_in_the_error() {
    let site = Site::new("tcp");
    let coordinator = site.coordinator(2, "--agents-timeout=1s");
    let agent = site.agent(&site.token, "");
    let finished = wait(coordinator);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let said = "1 of 2 have dialled in within 1s";
    assert!(finished.stderr.contains(said), "{finished:?}");
    assert_eq!(wait(agent).code, Some(0));
}

#[test]
fn an_agent_without_a_coordinator_gives_up() {
    let site = Site::new("tcp");
    let finished = wait(site.agent(&site.token, "--connect-timeout 100ms"));
    expect_one_line(&finished, 1, "did not answer within 100ms");
}
