//! Checks of docs/CONFORMANCE.md: it has every section of the contract, every rule has a kind and
//! a test or a reason, and every named test exists.

use std::fs;
use std::path::Path;

const PAGE: &str = "docs/CONFORMANCE.md";

/// The sections of each part of libevent's contract: the event base, and what is on top of it.
const SECTIONS: [u32; 2] = [16, 8];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_default()
}

/// The rows of the page's tables with their line numbers, cells trimmed.
fn rows(page: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let is_row = |line: &str| {
        line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| rule |")
    };
    (1..).zip(page.lines()).filter(move |(_, line)| is_row(line)).map(|(number, line)| {
        let cells = line.trim_matches('|').split(" | ").map(str::trim);
        (number, cells.collect())
    })
}

/// Everything in backquotes that names a test: `path.rs::name`.
fn named_tests(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::"))
}

#[track_caller]
fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_section_of_the_contract_is_there_and_has_rows() {
    let page = read(PAGE);
    let mut complaints = Vec::new();
    let parts = (1..).zip(SECTIONS);
    for (part, section) in parts.flat_map(|(part, last)| (1..=last).map(move |s| (part, s))) {
        let heading = format!("## {part}.{section} ");
        let begins = page.lines().position(|line| line.starts_with(&heading));
        let rows = begins.map(|begins| {
            let body = page.lines().skip(begins + 1).take_while(|line| !line.starts_with("## "));
            body.filter(|line| line.starts_with('|')).count()
        });
        // The head of a table is two lines.
        if rows.is_none_or(|rows| rows < 3) {
            complaints.push(format!("{PAGE}: `{heading}` is missing or has no rule"));
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_rule_names_a_test_or_a_reason() {
    let page = read(PAGE);
    let mut complaints = Vec::new();
    for (number, cells) in rows(&page) {
        let [rule, here, tests] = cells[..] else {
            complaints.push(format!("{PAGE}:{number}: a row has three cells"));
            continue;
        };
        let has_tests = named_tests(tests).count() > 0;
        let has_reason = here.split_once(": ").is_some_and(|(_, reason)| reason.len() >= 10);
        let kinds = ["same", "differs: ", "type: ", "C only: ", "more: "];
        if rule.is_empty() || !kinds.iter().any(|kind| here.starts_with(kind)) {
            complaints
                .push(format!("{PAGE}:{number}: begin the second cell with one of {kinds:?}"));
        } else if here != "same" && !has_reason {
            complaints.push(format!("{PAGE}:{number}: give the reason after the kind"));
        } else if !has_tests && (here == "same" || tests != "–") {
            complaints.push(format!("{PAGE}:{number}: no test is named; write one, or –"));
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_test_that_is_named_exists() {
    let page = read(PAGE);
    let mut complaints = Vec::new();
    for (number, cells) in rows(&page) {
        for (path, name) in cells.iter().flat_map(|cell| named_tests(cell)) {
            let path = format!("{path}.rs");
            if !read(&path).contains(&format!("fn {name}(")) {
                complaints.push(format!("{PAGE}:{number}: {path} has no test `{name}`"));
            }
        }
    }
    expect_none(&complaints);
}
