//! Aligned columns and wrapped sentences.

use std::iter;

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
}
