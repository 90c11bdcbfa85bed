//! Where unsafe code may stand.

use super::expect_tidy;
use super::source::{Source, is_comment, sources};

/// The only folders that may contain unsafe code.
const UNSAFE_FOLDERS: [&str; 2] = ["src/sys/", "capi/src/abi/"];

#[test]
fn unsafe_code_stands_in_its_folders() {
    // Tidy itself has the word in its tests.
    let mut all = sources(&["src", "capi", "loadgen/src", "benches", "examples", "tests"]);
    all.retain(|source| !source.path.starts_with("tests/tidy/"));
    expect_tidy(&unsafe_elsewhere(&all));
}

fn unsafe_elsewhere(all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_elsewhere =
        |source: &&Source| !UNSAFE_FOLDERS.iter().any(|folder| source.path.starts_with(folder));
    for source in all.iter().filter(is_elsewhere) {
        for (number, line) in (1..).zip(source.text.lines()).filter(|(_, l)| !is_comment(l)) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| word == "unsafe") {
                complaints.push(format!(
                    "{}:{number}: unsafe code belongs in {}, behind a safe function",
                    source.path,
                    UNSAFE_FOLDERS.join(" or ")
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
    fn unsafe_code_is_found_outside_its_folders_only() {
        let found = |path, text| unsafe_elsewhere(&[source(path, text)]).len();
        assert_eq!(found("src/base/mod.rs", "\n    let a = unsafe { f() };\n"), 1);
        assert_eq!(found("src/sys/fd.rs", "unsafe { f() }"), 0);
        assert_eq!(found("capi/src/abi/event.rs", "#[unsafe(no_mangle)]"), 0);
        assert_eq!(found("capi/src/base/mod.rs", "#[unsafe(no_mangle)]"), 1);
        assert_eq!(found("src/base/mod.rs", "// unsafe\n#![deny(unsafe_code)]"), 0);
    }
}
