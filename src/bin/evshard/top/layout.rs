//! Fits text into the room of a terminal: words into lines, numbers into columns, columns into a
//! table. What has no room is named.

/// The room for the text. Without a terminal there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// The space between two parts of a line.
pub(super) const GAP: &str = "  ";

/// Text with the color that it has, if any.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) color: Option<&'static str>,
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self { text, color: None }
    }
}

/// Lines of words with a gap between them. A word that is longer than a line is cut, and ends
/// with an ellipsis.
pub(super) fn wrap(words: Vec<Word>, columns: usize) -> Vec<Vec<Word>> {
    let mut lines: Vec<Vec<Word>> = Vec::new();
    let mut used = 0;
    for Word { text, color } in words {
        let text = cut(text, columns);
        let length = text.chars().count();
        let with_gap = used + GAP.len() + length;
        match lines.last_mut() {
            Some(line) if with_gap <= columns => {
                used = with_gap;
                line.push(Word { text, color });
            }
            _ => {
                used = length;
                lines.push(vec![Word { text, color }]);
            }
        }
    }
    lines
}

fn cut(text: String, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text;
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// A number with these decimals if it fits the width, else with a unit: `12.3M`. `?` is more than
/// any counter has.
pub(super) fn number(value: f64, decimals: usize, width: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let units = [(1e3, 'k'), (1e6, 'M'), (1e9, 'G'), (1e12, 'T'), (1e15, 'P'), (1e18, 'E')];
    let with_units = units.into_iter().map(|(unit, name)| format!("{:.1}{name}", value / unit));
    let mut texts = std::iter::once(plain).chain(with_units);
    texts.find(|text| text.len() <= width).unwrap_or_else(|| "?".to_owned())
}

/// Which columns fit, each after a gap: by their rank, the lowest first. Each has a width and a
/// rank.
pub(super) fn choose<const N: usize>(columns: [(usize, usize); N], room: usize) -> [bool; N] {
    let mut by_rank: Vec<usize> = (0..N).collect();
    by_rank.sort_by_key(|&index| columns[index].1);
    let (mut shown, mut used) = ([false; N], 0);
    for index in by_rank {
        let with_column = used + GAP.len() + columns[index].0;
        if with_column <= room {
            used = with_column;
            shown[index] = true;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &[Vec<Word>]) -> Vec<String> {
        let of = |line: &Vec<Word>| line.iter().map(|w| w.text.clone()).collect::<Vec<_>>();
        lines.iter().map(|line| of(line).join(GAP)).collect()
    }

    #[test]
    fn words_fill_lines_and_a_long_one_is_cut_visibly() {
        let words = || ["ab", "cd", "efghijklm"].map(|text| text.to_owned().into()).to_vec();
        assert_eq!(texts(&wrap(words(), usize::MAX)), ["ab  cd  efghijklm"]);
        assert_eq!(texts(&wrap(words(), 9)), ["ab  cd", "efghijklm"]);
        assert_eq!(texts(&wrap(words(), 6)), ["ab  cd", "efghi…"]);
        assert_eq!(texts(&wrap(words(), 5)), ["ab", "cd", "efgh…"]);
    }

    #[test]
    fn a_number_that_does_not_fit_has_a_unit() {
        assert_eq!(number(1234.0, 0, 4), "1234");
        assert_eq!(number(12_345.6, 2, 6), "12.3k");
        assert_eq!(number(12_345_678.0, 0, 7), "12.3M");
        assert_eq!(number(u64::MAX as f64, 0, 7), "18.4E");
        assert_eq!(number(1e300, 2, 8), "?");
    }

    #[test]
    fn the_most_important_columns_are_shown_first() {
        let columns = [(4, 3), (7, 1), (6, 2)];
        assert_eq!(choose(columns, 23), [true, true, true]);
        assert_eq!(choose(columns, 22), [false, true, true]);
        assert_eq!(choose(columns, 15), [true, true, false]);
        assert_eq!(choose(columns, 0), [false, false, false]);
    }

    proptest! {
        #[test]
        fn no_line_and_no_number_is_wider_than_its_room(
            words in prop::collection::vec("[a-zé ]{0,30}", 0..10), columns in 1..100_usize,
            value in prop_oneof![0.0..f64::MAX, 0.0..1e20], decimals in 0..3_usize,
            width in 4..12_usize)
        {
            let count = words.len();
            let lines = wrap(words.into_iter().map(Word::from).collect(), columns);
            prop_assert_eq!(lines.iter().map(Vec::len).sum::<usize>(), count);
            for line in texts(&lines) {
                prop_assert!(line.chars().count() <= columns, "{line:?}");
            }
            prop_assert!(number(value, decimals, width).len() <= width);
        }
    }
}
