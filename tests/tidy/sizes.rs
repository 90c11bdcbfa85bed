//! How long a function, a file and a line may be, and what begins a file.

use super::expect_tidy;
use super::source::{Source, functions, sources};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

#[test]
fn functions_are_short() {
    let all = sources(&["src", "capi", "loadgen/src", "benches", "examples", "tests"]);
    expect_tidy(&long_functions(&all));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let all =
        sources(&["src", "capi", "loadgen/src", "benches", "examples", "tests", "loadgen/tests"]);
    expect_tidy(&untidy_files(&all));
}

fn long_functions(all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in all {
        for (number, length) in functions(text) {
            if length > FUNCTION_LINES_MAX {
                complaints.push(format!(
                    "{path}:{number}: a function of {length} lines; \
                     {FUNCTION_LINES_MAX} is the limit, split it by what it does"
                ));
            }
        }
    }
    complaints
}

fn untidy_files(all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in all {
        let path = &source.path;
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{path}:1: begin with `//!` and what the file is"));
        }
        let length = source.code().count();
        if length > FILE_LINES_MAX {
            complaints.push(format!(
                "{path}: {length} lines without tests; {FILE_LINES_MAX} is the limit, \
                 a noun that outgrew its file is two nouns"
            ));
        }
        for (number, line) in (1..).zip(source.text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                complaints.push(format!("{path}:{number}: {columns} columns, {COLUMNS_MAX} fit"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    #[test]
    fn a_function_of_one_line_too_many_is_found() {
        let complaints = |body_lines| {
            let body = "    f();\n".repeat(body_lines);
            let text = format!("pub(in crate::base) fn f() {{\n{body}}}\n");
            long_functions(&[source("src/a.rs", &text)]).len()
        };
        assert_eq!((complaints(68), complaints(69)), (0, 1));
    }

    #[test]
    fn a_file_of_one_line_too_many_is_found() {
        let complaints = |lines: usize| {
            let tests = "#[cfg(test)]\nmod tests {\n    f();\n}\n";
            let text = format!("//! A file.\n{}{tests}", "f();\n".repeat(lines - 1));
            untidy_files(&[source("src/a.rs", &text)]).len()
        };
        assert_eq!((complaints(600), complaints(601)), (0, 1));
    }

    #[test]
    fn a_long_line_and_a_file_without_a_beginning_are_found() {
        let complaints = |text: &str| untidy_files(&[source("src/a.rs", text)]).len();
        assert_eq!(complaints(&format!("//! {}", "ü".repeat(96))), 0);
        assert_eq!(complaints(&format!("//! {}", "ü".repeat(97))), 1);
        assert_eq!(complaints("use std::fmt;"), 1);
    }
}
