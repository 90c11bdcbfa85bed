//! Several processes as one loader.

mod dial_in;
mod local;
mod lost;
mod ssh;

use std::fs;
use std::path::Path;
use std::process::Child;

use serde_json::Value;

/// The children of a process, by id.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let ids = tasks.filter_map(of_task).collect::<Vec<_>>().join(" ");
    ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// The agents that a coordinator has started.
fn agents_of(coordinator: &Child) -> Vec<u32> {
    children(coordinator.id())
}

fn exists(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
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
