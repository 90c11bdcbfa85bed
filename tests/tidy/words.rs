//! Words that names and sentences do not use.

use std::fs;

use super::expect_tidy;
use super::source::{files_below, root};

/// Words that we do not use, and the words of the field for them. CONTRIBUTING.md has the table.
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
    ("entrance", "acceptor, listen socket"),
    ("depart", "release"),
    ("shortage", "descriptor exhaustion"),
    ("greeting", "PROXY header"),
    ("conversation", "connection, reads and writes"),
    ("wish", "next step"),
    ("survey", "statistics, snapshot"),
    ("tally", "signal counts"),
    ("tallies", "signal counts"),
    ("bell", "eventfd"),
    ("conduct", "run"),
    ("hear", "receive a report"),
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
    for folder in [
        ".ci", "benches", "capi", "deploy", "docs", "examples", "fuzz", "loadgen", "scripts",
        "src", "tests",
    ] {
        files_below(&root().join(folder), &mut files);
    }
    // CHANGELOG.md and results/ are history, and CONTRIBUTING.md has the table.
    let single = ["README.md", "ARCHITECTURE.md", "Cargo.toml", "clippy.toml", "deny.toml"];
    files.extend(single.map(|file| root().join(file)));
    files.push(root().join("rust-toolchain.toml"));
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/tidy/words.rs")) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let path = file.strip_prefix(root()).unwrap().display();
        for (number, word, better) in banned_words(&text) {
            complaints.push(format!("{path}:{number}: `{word}`; say: {better}"));
        }
    }
    expect_tidy(&complaints);
}

/// The banned words of a text: the line, the word, and what to say instead.
fn banned_words(text: &str) -> Vec<(usize, String, &'static str)> {
    let banned = |word: String| {
        let (_, better) = BANNED_WORDS.iter().find(|(banned, _)| is_form_of(&word, banned))?;
        Some((word, *better))
    };
    let of_line = |(number, line)| {
        words(line).into_iter().filter_map(banned).map(move |(word, better)| (number, word, better))
    };
    (1..).zip(text.lines()).flat_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_their_words() {
        let split =
            |line| words(line).into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        assert_eq!(
            split("let door_of = OpenGates::new(x1);"),
            ["let", "door", "of", "open", "gates", "new", "x"]
        );
        assert_eq!(split("FD_MAX, Für"), ["fd", "max", "für"]);
    }

    #[test]
    fn plurals_and_third_persons_are_forms_of_a_word() {
        for word in ["gate", "gates", "gatees"] {
            assert!(is_form_of(word, "gate"), "{word}");
        }
        for word in ["gat", "gateway", "investigate", "gated"] {
            assert!(!is_form_of(word, "gate"), "{word}");
        }
    }

    #[test]
    fn a_banned_word_is_found_in_names_and_comments() {
        let found =
            |text: &str| banned_words(text).into_iter().map(|(n, w, _)| (n, w)).collect::<Vec<_>>();
        assert_eq!(
            found("fn open_gate() {}\n// A Visitor.\nstruct FrontDoors;"),
            [(1, "gate".to_owned()), (2, "visitor".to_owned()), (3, "doors".to_owned()),]
        );
        assert_eq!(found("a gateway in the corridor"), []);
    }
}
