//! Colours, where they are wanted.

use std::env;
use std::fmt;
use std::io::IsTerminal;

use crate::record::Verdict;

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
    use super::*;

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
