//! Agents that dial in.

use std::process::Child;

use super::{agents_in, file};
use crate::program::*;
use crate::servers::Server;

/// A coordinator, the agents that dial in to it, and the file of the token.
pub(super) struct Site {
    server: Server,
    pub(super) address: String,
    pub(super) token: String,
    folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        let folder = test_needs::folder();
        let token = file(folder.path(), "token", "a secret\n");
        Self { server: Server::echo(), address: unused_address(), token, folder }
    }

    /// A short run of so many agents.
    pub(super) fn coordinator(&self, expect: u32, flags: &str) -> Child {
        let (server, agents) = (self.server.address(), format!("tcp://{}", self.address));
        let expect = expect.to_string();
        let words = ["run", &server, "--agents", &agents, "--expect", &expect];
        let common = "--duration=200ms --warmup=50ms -c6 --json=- --token-file";
        let words = words.into_iter().chain(common.split(' ')).chain([&*self.token]);
        let words: Vec<&str> = words.chain(flags.split_whitespace()).collect();
        command(&words).spawn().unwrap()
    }

    fn agent(&self, token: &str, flags: &str) -> Child {
        self.agent_of(&self.address, token, flags)
    }

    /// An agent that dials another address, which leads to the coordinator.
    pub(super) fn agent_of(&self, address: &str, token: &str, flags: &str) -> Child {
        let words = ["agent", "--connect", address, "--token-file", token];
        let words: Vec<&str> = words.into_iter().chain(flags.split_whitespace()).collect();
        let mut command = command(&words);
        for name in ["JOB_COMPLETION_INDEX", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"] {
            command.env_remove(name);
        }
        command.spawn().unwrap()
    }
}

#[test]
fn three_agents_dial_in_and_are_one_loader() {
    let site = Site::new();
    // The agents may come first.
    let first = site.agent(&site.token, "--rank 2");
    let coordinator = site.coordinator(3, "--rate=500");
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

#[test]
fn an_agent_with_another_token_is_refused_and_the_run_waits_for_others() {
    let site = Site::new();
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

#[test]
fn a_rank_that_is_taken_or_too_large_is_refused() {
    let site = Site::new();
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
    let site = Site::new();
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
    let site = Site::new();
    let finished = wait(site.agent(&site.token, "--connect-timeout 100ms"));
    expect_one_line(&finished, 1, "did not answer within 100ms");
}
