//! Several processes as one loader.

mod commands;
mod delays;
mod dial_in;
mod drift;
mod imposters;
mod launchers;
mod local;
mod lost;
mod relay;
mod slurm;
mod ssh;
mod sshd;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;

/// The children of a process, by id.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let ids = tasks.filter_map(of_task).collect::<Vec<_>>().join(" ");
    ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// What a process has started, and what that has started, and so on.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// The agents that a coordinator has started.
fn agents_of(coordinator: &Child) -> Vec<u32> {
    children(coordinator.id())
}

fn exists(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[track_caller]
fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The codes of all findings.
fn codes(record: &Value) -> Vec<&str> {
    let of = |list: &str| record["validity"][list].as_array().unwrap().iter();
    of("reasons").chain(of("labels")).map(|found| found["code"].as_str().unwrap()).collect()
}

fn agents_in(record: &Value) -> &[Value] {
    record["runs"][0]["agents"].as_array().unwrap()
}

/// A file of this text in a folder.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
