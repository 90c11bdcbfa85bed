//! The names under which programs find the library and its functions.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::library::{CRATE, Library, compile, printed};
use test_needs::{Need, missing};

const NAMES: [&str; 3] =
    ["libevent-2.1.so.7", "libevent_core-2.1.so.7", "libevent_pthreads-2.1.so.7"];
const LIBRARY: &str = "libevshard_libevent.so";

/// What `nm` says that a library exports, sorted.
fn exported(library: &Path) -> Vec<String> {
    let mut nm = Command::new("nm");
    let lines = printed(nm.args(["--dynamic", "--defined-only"]).arg(library));
    let names = lines.lines().filter_map(|line| line.split(' ').next_back().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn the_library_exports_what_the_list_says_and_nothing_else() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let list = fs::read_to_string(Path::new(CRATE).join("exports.txt")).expect("the list");
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut listed: Vec<&str> = lines.collect();
    listed.sort_unstable();
    assert_eq!(exported(&library.folder().join(LIBRARY)), listed);
}

#[test]
fn every_function_of_libevents_core_headers_is_exported() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let ours = exported(&library.folder().join(LIBRARY));
    let mut headers = String::new();
    for header in ["event.h", "event_compat.h", "thread.h"] {
        let include = format!("#include <event2/{header}>\n");
        let source = library.folder().join("header.c");
        fs::write(&source, include).expect("a source file");
        // After the preprocessor, what a comment or another platform declares is gone.
        headers += &printed(Command::new("cc").arg("-E").arg("-P").arg(&source));
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let declared = headers.match_indices('(').filter_map(|(at, _)| {
        let name = headers[..at].trim_end().rsplit(|c| !is_name(c)).next()?;
        let is_core = ["event_", "evthread_", "libevent_"].iter().any(|p| name.starts_with(p));
        (is_core && !name.ends_with("_fn") && !name.ends_with("_cb")).then(|| name.to_owned())
    });
    let mut declared: Vec<String> = declared.collect();
    declared.sort();
    declared.dedup();
    assert!(declared.len() > 80, "found only {} declarations", declared.len());
    declared.retain(|name| !ours.contains(name));
    assert_eq!(declared, Vec::<String>::new(), "declared and not exported");
}

#[test]
fn programs_find_the_library_by_each_of_libevents_names() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    for name in NAMES {
        let file = library.folder().join(name);
        let dynamic = printed(Command::new("readelf").arg("--dynamic").arg(&file));
        assert!(dynamic.contains(&format!("Library soname: [{name}]")), "{dynamic}");
        assert!(dynamic.contains(&format!("Shared library: [{LIBRARY}]")), "{dynamic}");
    }
    let program = compile("threads.c", library.folder());
    let loaded = printed(Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", library.folder()));
    let folder = library.folder().to_str().expect("text");
    let of_libevent: Vec<&str> = loaded.lines().filter(|line| line.contains("libev")).collect();
    assert!(of_libevent.len() >= 3, "{loaded}");
    for line in of_libevent {
        assert!(line.contains(folder), "{line}");
    }
}
