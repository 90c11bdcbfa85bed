//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a machine can check.
//!
//! Reads the sources as text, collects every complaint as `path:line: what is wrong, what to do`,
//! and fails with all of them at once. Takes milliseconds; runs nothing.

use std::fs;
use std::path::{Path, PathBuf};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;
/// All that a result folder has.
const RESULT_FILES: [&str; 4] = ["README.md", "summary.md", "plots", "raw.jsonl.xz"];
/// Characters of an answer in results/INDEX.md, as scripts/lib/results.py has it.
const ANSWER_LENGTH_MAX: usize = 100;

/// Who may name whom, by folder or file of `src`. What is not listed is not allowed.
const LADDER: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("sync", &[]),
    ("error", &["event"]),
    ("sys", &["error", "event", "sync"]),
    (
        "backend",
        &["sys::epoll", "sys::poll", "sys::select", "sys::uring", "sys::fd", "event", "error"],
    ),
    (
        "base",
        &[
            "backend",
            "sys::clock",
            "sys::eventfd",
            "sys::fd",
            "sys::process",
            "sys::signal",
            "sys::signalfd",
            "sys::signal_counts",
            "event",
            "error",
            "sync",
        ],
    ),
    ("server", &["base", "sys::clock", "sys::rusage", "sys::socket", "event", "error", "sync"]),
    // Programs use the public interface, as everybody does.
    ("bin", &[]),
];

/// The modules of `loadgen/src`, lowest first: each may name those before it.
const LOADGEN_LADDER: &[&str] = &[
    "clock",
    "exit",
    "error",
    "units",
    "console",
    "atomic_file",
    "interrupt",
    "schedule",
    "latency",
    "stats",
    "wire",
    "slo",
    "options",
    "environment",
    "record",
    "server",
    "engine",
    "validity",
    "measure",
    "report",
    "comparison",
    "merging",
    "cli",
    "commands",
];

/// The only folder that may contain unsafe code.
const UNSAFE_FOLDER: &str = "src/sys/";

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers, without the unit tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins_tests = |pair: &[&str]| {
            (pair[0].starts_with("#[cfg(test)]") || pair[0].starts_with("#[cfg(all(test"))
                && pair[1].contains("mod ")
                && pair[1].ends_with('{')
        };
        let length = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
        (1..).zip(lines).take(length)
    }

    /// Whether the whole file is unit tests: it stands in a `tests` folder, or its folder's
    /// `mod.rs` declares it for tests only.
    fn is_test(&self) -> bool {
        if self.path.contains("/tests/") {
            return true;
        }
        let path = root().join(&self.path);
        let parent = fs::read_to_string(path.with_file_name("mod.rs")).unwrap_or_default();
        let name = path.file_stem().unwrap().to_str().unwrap();
        parent.contains(&format!("#[cfg(test)]\nmod {name};\n"))
    }

    /// The folder or file directly below its crate's `src` that it belongs to.
    fn room(&self) -> Option<&str> {
        let path = self.path.strip_prefix("loadgen/").unwrap_or(&self.path);
        let below = path.strip_prefix("src/")?;
        Some(below.split('/').next()?.trim_end_matches(".rs"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        files_below(&root().join(folder), &mut found);
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().display().to_string(),
    };
    found.into_iter().map(read).collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let is_function = words.find(|word| !qualifiers.contains(word)) == Some("fn");
    // A macro's template is measured where it is used.
    is_function && words.next().is_some_and(|name| !name.starts_with('$'))
}

#[track_caller]
fn expect_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Every `crate::…` path that a line names, as far as the ladder cares: one or two steps.
fn named(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("crate::").map(|(at, _)| {
        let path: String = line[at + "crate::".len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            .collect();
        let mut steps = path.split("::");
        match (steps.next().unwrap_or_default(), steps.next()) {
            ("sys", Some(step)) => format!("sys::{step}"),
            (first, _) => first.to_owned(),
        }
    })
}

#[test]
fn a_lower_layer_never_names_a_higher_one() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]).into_iter().filter(|source| !source.is_test()) {
        let Some(room) = source.room().filter(|room| *room != "lib") else { continue };
        let Some((_, allowed)) = LADDER.iter().find(|(name, _)| *name == room) else {
            complaints.push(format!("{}: give `{room}` its rung in tests/tidy.rs", source.path));
            continue;
        };
        for (number, line) in source.code().filter(|(_, line)| !is_comment(line)) {
            for target in named(line).filter(|target| target != room) {
                let layer = target.split("::").next().unwrap_or_default();
                if target.is_empty() {
                    let path = &source.path;
                    complaints.push(format!("{path}:{number}: name one layer a `use`"));
                } else if layer != room && !allowed.contains(&&*target) && !allowed.contains(&layer)
                {
                    let path = &source.path;
                    complaints.push(format!(
                        "{path}:{number}: `{room}` must not name `{target}`; \
                         move the code down, or pass what it needs in"
                    ));
                }
            }
        }
    }
    expect_tidy(&complaints);
}

#[test]
fn a_lower_module_of_loadgen_never_names_a_higher_one() {
    let rung = |room: &str| LOADGEN_LADDER.iter().position(|name| *name == room);
    let mut complaints = Vec::new();
    for source in sources(&["loadgen/src"]) {
        if source.is_test() || source.path.contains("/tests/") {
            continue;
        }
        let (path, Some(room)) = (&source.path, source.room().filter(|room| *room != "main"))
        else {
            continue;
        };
        if rung(room).is_none() {
            complaints.push(format!("{path}: give `{room}` its rung in tests/tidy.rs"));
        }
        for (number, line) in source.code().filter(|(_, line)| !is_comment(line)) {
            for target in named(line).filter(|target| target != room && rung(target) >= rung(room))
            {
                complaints.push(format!(
                    "{path}:{number}: `{room}` must not name `{target}`; \
                     move the code down, or pass what it needs in"
                ));
            }
        }
    }
    expect_tidy(&complaints);
}

#[test]
fn the_ruler_shares_nothing_with_what_it_measures() {
    let manifest = fs::read_to_string(root().join("loadgen/Cargo.toml")).unwrap();
    assert!(!manifest.contains("evshard"), "loadgen must not depend on evshard");
    let uses: Vec<String> = sources(&["loadgen/src"])
        .iter()
        .filter(|source| source.text.contains("evshard::") || source.text.contains("#[path"))
        .map(|source| format!("{}: loadgen uses code of the server", source.path))
        .collect();
    expect_tidy(&uses);
}

#[test]
fn unsafe_code_stands_in_one_folder() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "loadgen/src", "benches", "examples", "tests"]) {
        if source.path.starts_with(UNSAFE_FOLDER) || source.path == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in (1..).zip(source.text.lines()).filter(|(_, l)| !is_comment(l)) {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.into_iter().any(|word| word == "unsafe") {
                complaints.push(format!(
                    "{}:{number}: unsafe code belongs in {UNSAFE_FOLDER}, behind a safe function",
                    source.path
                ));
            }
        }
    }
    expect_tidy(&complaints);
}

#[test]
fn functions_fit_a_screen_and_a_half() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "loadgen/src", "benches", "examples", "tests"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            if !begins_function(line) || line.trim_end().ends_with([';', '}']) {
                continue;
            }
            // rustfmt puts the closing brace where the function's line begins.
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..].iter().position(|l| *l == format!("{indent}}}"));
            let length = end.map_or(0, |end| end + 1);
            if length > FUNCTION_LINES_MAX {
                let (path, number) = (&source.path, start + 1);
                complaints.push(format!(
                    "{path}:{number}: a function of {length} lines; \
                     {FUNCTION_LINES_MAX} is the limit, split it by what it does"
                ));
            }
        }
    }
    expect_tidy(&complaints);
}

#[test]
fn files_are_one_noun_each_and_say_which() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "loadgen/src", "benches", "examples", "tests", "loadgen/tests"])
    {
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
    expect_tidy(&complaints);
}

#[test]
fn every_source_file_is_reachable_from_a_module() {
    let all = sources(&["src", "loadgen/src"]);
    let mut complaints = Vec::new();
    for source in &all {
        let path = Path::new(&source.path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (folder, name) = match stem {
            "lib" | "main" => continue,
            "mod" => {
                let folder = path.parent().unwrap();
                (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap())
            }
            _ => (path.parent().unwrap(), stem),
        };
        let declares = |other: &Source| {
            Path::new(&other.path).parent() == Some(folder)
                && other.text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
        };
        if !all.iter().any(declares) {
            complaints.push(format!("{}: no `mod {name};` names it", source.path));
        }
    }
    expect_tidy(&complaints);
}

#[test]
fn every_result_can_be_judged_and_repeated() {
    let results = root().join("results");
    let index = fs::read_to_string(results.join("INDEX.md")).unwrap_or_default();
    let mut complaints = Vec::new();
    let archive = results.join("archive");
    let entries = [&results, &archive].into_iter().filter_map(|below| fs::read_dir(below).ok());
    let is_result = |path: &PathBuf| path.is_dir() && *path != archive;
    for path in entries.flatten().flatten().map(|entry| entry.path()).filter(is_result) {
        let name = path.strip_prefix(&results).unwrap().display().to_string();
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
    expect_tidy(&complaints);
}

#[test]
fn every_dependency_has_its_reason_above_it() {
    let mut complaints = Vec::new();
    for manifest in ["Cargo.toml", "loadgen/Cargo.toml", "tests/needs/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let (mut in_dependencies, mut before) = (false, "");
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]") && !line.contains("workspace");
            } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
                let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
                if !before.starts_with('#') {
                    complaints.push(format!("{manifest}: say above `{name}` what it is for"));
                }
            }
            before = line;
        }
    }
    expect_tidy(&complaints);
}

/// Words of a private vocabulary, and the field's words for them. CONTRIBUTING.md has the table.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("gate", "acceptor"),
    ("door", "listen socket"),
    ("visitor", "accepted connection"),
    ("census", "connection limit"),
    ("clue", "placement hint"),
    ("told", "reported, notified, logged"),
    ("tell", "report, notify, log"),
    ("nobody", "no one, nothing; or name the actor"),
    ("whoever", "name the actor"),
    ("somebody", "name the actor"),
    ("anybody", "name the actor"),
    ("everybody", "all connections, all threads"),
    ("muster", "spawn"),
    ("harvest", "results of a thread"),
    ("crew", "threads"),
    ("agenda", "send queue"),
    ("mailbox", "signal slot"),
    ("stopwatch", "timings"),
    ("felt", "headline latency"),
];

/// The words of a line in lower case: those of `snake_case` and `CamelCase` names, too.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("there is one").extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words
}

/// Whether a word is `banned`, or a plural or third person of it.
fn is_form_of(word: &str, banned: &str) -> bool {
    word.strip_prefix(banned).is_some_and(|end| matches!(end, "" | "s" | "es"))
}

#[test]
fn names_and_sentences_use_the_words_of_the_field() {
    let mut files = Vec::new();
    for folder in
        [".ci", "benches", "deploy", "docs", "examples", "loadgen", "scripts", "src", "tests"]
    {
        files_below(&root().join(folder), &mut files);
    }
    // CHANGELOG.md and results/ are history and name what was renamed.
    files.extend(["README.md", "ARCHITECTURE.md"].map(|file| root().join(file)));
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/tidy.rs")) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let path = file.strip_prefix(root()).unwrap().display();
        for (number, line) in (1..).zip(text.lines()) {
            for word in words(line) {
                if let Some((_, better)) = BANNED_WORDS.iter().find(|(b, _)| is_form_of(&word, b)) {
                    complaints.push(format!("{path}:{number}: `{word}`; say: {better}"));
                }
            }
        }
    }
    expect_tidy(&complaints);
}
