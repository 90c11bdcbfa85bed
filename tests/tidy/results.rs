//! What a result folder must have, and its row in `results/INDEX.md`.

use std::fs;
use std::path::{Path, PathBuf};

use super::expect_tidy;
use super::source::root;

/// All that a result folder has.
const RESULT_FILES: [&str; 4] = ["README.md", "summary.md", "plots", "raw.jsonl.xz"];
/// Characters of an answer in results/INDEX.md, as scripts/lib/results.py has it.
const ANSWER_LENGTH_MAX: usize = 100;

#[test]
fn every_result_can_be_judged_and_repeated() {
    expect_tidy(&incomplete_results(&root().join("results")));
}

fn incomplete_results(results: &Path) -> Vec<String> {
    let index = fs::read_to_string(results.join("INDEX.md")).unwrap_or_default();
    let mut complaints = Vec::new();
    let archive = results.join("archive");
    let entries = [results, &archive].into_iter().filter_map(|below| fs::read_dir(below).ok());
    let is_result = |path: &PathBuf| path.is_dir() && *path != archive;
    for path in entries.flatten().flatten().map(|entry| entry.path()).filter(is_result) {
        let name = path.strip_prefix(results).unwrap().display().to_string();
        let folder = path.file_name().unwrap().to_str().unwrap();
        let date_ends = folder.char_indices().filter(|(_, c)| *c == '-').nth(2).map(|(at, _)| at);
        if date_ends != Some("2026-01-01".len()) {
            complaints.push(format!("results/{name}: name it <year>-<month>-<day>-<topic>"));
        }
        for file in RESULT_FILES {
            if !path.join(file).exists() {
                complaints.push(format!("results/{name}: {file} is missing"));
            }
        }
        if fs::read_dir(&path).unwrap().count() > RESULT_FILES.len() {
            complaints.push(format!("results/{name}: it has more than {RESULT_FILES:?}"));
        }
        let row = format!("| [{folder}]({name}/README.md) | ");
        let cells = index.lines().find_map(|line| line.strip_prefix(&row)?.strip_suffix(" |"));
        let answer = cells.and_then(|cells| Some(cells.rsplit_once(" | ")?.1));
        if answer.is_none() {
            complaints.push(format!("results/{name}: results/INDEX.md has no row for it"));
        }
        if answer.is_some_and(|a| a.chars().count() > ANSWER_LENGTH_MAX || a.ends_with('…')) {
            complaints.push(format!("results/INDEX.md, {name}: write a shorter answer"));
        }
        let readme = fs::read_to_string(path.join("README.md")).unwrap_or_default();
        if readme.contains("To be written by hand") {
            complaints.push(format!("results/{name}/README.md: its reading is not written yet"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The complaints about one result with these files and this index.
    fn complaints(name: &str, files: &[&str], readme: &str, index: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join(name);
        fs::create_dir_all(&result).unwrap();
        for file in files {
            fs::write(result.join(file), readme).unwrap();
        }
        fs::write(folder.path().join("INDEX.md"), index).unwrap();
        incomplete_results(folder.path())
    }

    fn row(name: &str, answer: &str) -> String {
        format!("| [{name}]({name}/README.md) | What? | {answer} |\n")
    }

    #[test]
    fn a_complete_result_is_no_complaint() {
        let name = "2026-01-01-topic";
        assert_eq!(complaints(name, &RESULT_FILES, "", &row(name, "1.0")), [""; 0]);
    }

    #[test]
    fn each_fault_of_a_result_is_found() {
        let name = "2026-01-01-topic";
        let unnamed = row("topic", "1");
        let row = |answer: &str| row(name, answer);
        for (complaint, found) in [
            ("name it", complaints("topic", &RESULT_FILES, "", &unnamed)),
            ("raw.jsonl.xz is missing", complaints(name, &RESULT_FILES[..3], "", &row("1"))),
            ("more than", complaints(name, &[&RESULT_FILES[..], &["log"]].concat(), "", &row("1"))),
            ("has no row", complaints(name, &RESULT_FILES, "", "")),
            ("shorter answer", complaints(name, &RESULT_FILES, "", &row(&"a".repeat(101)))),
            ("shorter answer", complaints(name, &RESULT_FILES, "", &row("cut…"))),
            ("not written", complaints(name, &RESULT_FILES, "To be written by hand", &row("1"))),
        ] {
            assert_eq!(found.len(), 1, "{complaint}: {found:?}");
            assert!(found[0].contains(complaint), "{complaint}: {found:?}");
        }
    }
}
