//! The layout of text: aligned columns, wrapped sentences, and colours on a terminal.

use std::env;
use std::fmt;
use std::io::IsTerminal;
use std::iter;

use crate::record::Verdict;

/// A table: every column as wide as its widest cell, aligned to the right except for the first.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each indented, without blanks at their ends.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(move |row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        self.rows.iter().map(move |row| {
            let mut line = " ".to_owned();
            for (place, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let aligned = match place {
                    0 => format!(" {cell}{padding}"),
                    _ => format!("  {padding}{cell}"),
                };
                line.push_str(&aligned);
            }
            line.trim_end().to_owned()
        })
    }
}

/// Lines of at most `width` characters: the first begins with `first`, the others with as many
/// blanks. A word that is too long has a line of its own.
pub(crate) fn wrap(first: &str, text: &str, width: usize) -> String {
    let indent = " ".repeat(first.chars().count());
    let mut lines = vec![first.to_owned()];
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if is_empty {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.extend([" ", word]);
        } else {
            lines.push(format!("{indent}{word}"));
        }
        is_empty = false;
    }
    lines.into_iter().chain(iter::once(String::new())).collect::<Vec<_>>().join("\n")
}

/// How text may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

/// Escape sequences (ECMA-48): red, yellow, green, all in bold, and back.
const BAD: &str = "\x1b[1;31m";
const DOUBTFUL: &str = "\x1b[1;33m";
const GOOD: &str = "\x1b[1;32m";
const PLAIN: &str = "\x1b[0m";

impl Style {
    /// Text alone.
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// Colours on a terminal, unless the environment has a `NO_COLOR` that is not empty
    /// (no-color.org).
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: stream.is_terminal() && !refused }
    }

    /// Text in the colour of a verdict.
    pub(crate) fn judged(self, verdict: Verdict, text: impl fmt::Display) -> String {
        let colour = match verdict {
            Verdict::Valid => GOOD,
            Verdict::Suspect => DOUBTFUL,
            Verdict::Invalid => BAD,
        };
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut columns = Columns::default();
        columns.row(["run", "p50"].map(str::to_owned));
        columns.row(["median", "1.00 µs", "x"].map(str::to_owned));
        let lines: Vec<String> = columns.lines().collect();
        assert_eq!(lines, ["  run         p50", "  median  1.00 µs  x"]);
    }

    #[test]
    fn sentences_go_on_below_their_beginning() {
        assert_eq!(wrap("- ", "one two three", 9), "- one two\n  three\n");
        assert_eq!(wrap("- ", "", 9), "- \n");
    }

    proptest! {
        #[test]
        fn wrapping_loses_no_word_and_keeps_the_width(text in "[a-zµ]{1,9}( [a-zµ]{1,9}){0,30}") {
            let wrapped = wrap("  - ", &text, 30);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= 30), "{}", wrapped);
            let words: Vec<&str> = wrapped.split_whitespace().skip(1).collect();
            prop_assert_eq!(words.join(" "), text);
        }
    }

    #[test]
    fn only_a_style_with_colours_has_escapes() {
        assert_eq!(Style::PLAIN.judged(Verdict::Invalid, "INVALID"), "INVALID");
        let coloured = Style { colour: true };
        assert_eq!(coloured.judged(Verdict::Invalid, "INVALID"), "\x1b[1;31mINVALID\x1b[0m");
        assert_ne!(coloured.judged(Verdict::Valid, "x"), coloured.judged(Verdict::Suspect, "x"));
    }

    #[test]
    fn what_is_no_terminal_gets_no_colours() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Style::of(&file), Style::PLAIN);
    }
}
