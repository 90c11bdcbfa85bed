//! Where unsafe code may stand.

use super::expect_tidy;
use super::source::{Source, is_comment, sources};

/// The only folder that may contain unsafe code.
const UNSAFE_FOLDER: &str = "src/sys/";

#[test]
fn unsafe_code_stands_in_one_folder() {
    // Tidy itself has the word in its tests.
    let mut all = sources(&["src", "loadgen/src", "benches", "examples", "tests"]);
    all.retain(|source| !source.path.starts_with("tests/tidy/"));
    expect_tidy(&unsafe_elsewhere(&all));
}

fn unsafe_elsewhere(all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in all.iter().filter(|source| !source.path.starts_with(UNSAFE_FOLDER)) {
        for (number, line) in (1..).zip(source.text.lines()).filter(|(_, l)| !is_comment(l)) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| word == "unsafe") {
                complaints.push(format!(
                    "{}:{number}: unsafe code belongs in {UNSAFE_FOLDER}, behind a safe function",
                    source.path
                ));
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
    fn unsafe_code_is_found_outside_its_folder_only() {
        let found = |path, text| unsafe_elsewhere(&[source(path, text)]).len();
        assert_eq!(found("src/base/mod.rs", "\n    let a = unsafe { f() };\n"), 1);
        assert_eq!(found("src/sys/fd.rs", "unsafe { f() }"), 0);
        assert_eq!(found("src/base/mod.rs", "// unsafe\n#![deny(unsafe_code)]"), 0);
    }
}
