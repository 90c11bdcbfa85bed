//! The last test program of `cargo test --workspace`: lists what was skipped, and why.

use std::collections::BTreeMap;
use std::io::{self, Write};

use test_needs::{Skip, take_skips};

/// How many tests of each module were skipped in part. They are many; a line above names each.
fn counts(tests: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for test in tests.iter().map(String::as_str) {
        // PROGRAM: MODULE::TEST, or PROGRAM: TEST.
        let module = test.rsplit_once("::").or(test.split_once(": "));
        *counts.entry(module.map_or(test, |(module, _)| module)).or_default() += 1;
    }
    counts.into_iter().map(|(module, count)| format!("{count} of {module}")).collect()
}

#[test]
fn every_skipped_test_is_listed() {
    let skips = take_skips().expect("read the list");
    let mut text = if skips.is_empty() {
        "No test was skipped: this machine has all that they need.\n".to_owned()
    } else {
        "Skipped tests. Nothing is broken: this machine lacks what they need.\n".to_owned()
    };
    for (need, Skip { reason, tests, in_part }) in &skips {
        text += &format!("  needs {need}, but: {reason}\n");
        for test in tests {
            text += &format!("    {test}\n");
        }
        for count in counts(in_part) {
            text += &format!("    in part: {count}\n");
        }
    }
    // Straight to standard error: what goes by `eprintln!` is captured.
    write!(io::stderr(), "\n{text}\n").expect("write the list");
}
