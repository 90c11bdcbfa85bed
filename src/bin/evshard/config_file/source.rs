//! The text of a configuration file, and errors at positions in it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The largest file that is read. All keys with their help need some 10 KiB.
const BYTES_MAX: usize = 1 << 20;
/// Characters of a line that an error shows.
const SHOWN_CHARACTERS_MAX: usize = 120;
/// Why a file that was read is not read again.
const NOT_REGULAR: &str = "it is no regular file, so it cannot be read again";
/// Errors of one file that are printed.
const SHOWN_ERRORS_MAX: usize = 20;

/// The text of a file.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    pub(crate) text: String,
}

/// Why a file is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    /// It has no text.
    Unreadable { name: String, reason: String },
    /// A part of its text is wrong.
    At { name: String, position: Position, message: String },
}

/// A position in a file, and the line as an error shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    /// In characters, from 1.
    column: usize,
    shown: String,
    /// Characters of `shown` before the caret.
    indent: usize,
}

/// All errors of a file, at least one.
#[derive(Debug)]
pub(crate) struct FileErrors(pub(crate) Vec<FileError>);

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, FileErrors> {
        let name = path.display().to_string();
        match read_bytes(path) {
            Ok(bytes) => Self::from_bytes(name, bytes),
            Err(error) => {
                let reason = error.to_string();
                Err(FileErrors(vec![FileError::Unreadable { name, reason }]))
            }
        }
    }

    /// Reads a file that was read before. A pipe can be read only once, and may make its reader
    /// wait.
    pub(crate) fn read_again(path: &Path) -> Result<Self, FileErrors> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                let (name, reason) = (path.display().to_string(), NOT_REGULAR.to_owned());
                Err(FileErrors(vec![FileError::Unreadable { name, reason }]))
            }
            _ => Self::read(path),
        }
    }

    pub(crate) fn from_bytes(name: String, bytes: Vec<u8>) -> Result<Self, FileErrors> {
        String::from_utf8(bytes).map(|text| Self { name: name.clone(), text }).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let message = "this is no UTF-8 text: save the file in UTF-8".to_owned();
            FileErrors(vec![Self { name, text }.error(at..at, message)])
        })
    }

    /// An error at the start of this range of bytes.
    pub(crate) fn error(&self, at: Range<usize>, message: String) -> FileError {
        FileError::At { name: self.name.clone(), position: self.position(at.start), message }
    }

    /// The number of the line with this byte, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        1 + self.before(byte).matches('\n').count()
    }

    fn before(&self, byte: usize) -> &str {
        &self.text[..self.text.floor_char_boundary(byte)]
    }

    fn position(&self, byte: usize) -> Position {
        let before = self.before(byte);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[line_start..].chars().count();
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        // Of a longer line, the part around the column.
        let is_long = line.chars().count() > SHOWN_CHARACTERS_MAX;
        let skipped = if is_long { column.saturating_sub(SHOWN_CHARACTERS_MAX / 2) } else { 0 };
        let shown = line.chars().skip(skipped).take(SHOWN_CHARACTERS_MAX);
        let shown = shown.map(|character| if character.is_control() { ' ' } else { character });
        Position {
            line: self.line(byte),
            column: column + 1,
            shown: shown.collect::<String>().trim_end().to_owned(),
            indent: column - skipped,
        }
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {} KiB", BYTES_MAX >> 10)));
    }
    Ok(bytes)
}

impl fmt::Display for FileError {
    /// One line that is complete by itself, then the line of the file with a caret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { name, reason } => {
                write!(f, "{name}: cannot read the configuration file: {reason}")
            }
            Self::At { name, position, message } => {
                let Position { line, column, shown, indent } = position;
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, "{name}:{line}:{column}: {message}")?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{number} | {shown}")?;
                write!(f, "{margin} | {:indent$}^", "")
            }
        }
    }
}

impl FileError {
    /// Its position; the start if it concerns the whole file.
    pub(super) fn line_and_column(&self) -> (usize, usize) {
        match self {
            Self::Unreadable { .. } => (1, 1),
            Self::At { position, .. } => (position.line, position.column),
        }
    }

    /// Without the line of the file, for a log.
    pub(crate) fn in_one_line(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(SHOWN_ERRORS_MAX).enumerate() {
            let before = if index == 0 { "" } else { "\n" };
            write!(f, "{before}{error}")?;
        }
        match self.0.len().saturating_sub(SHOWN_ERRORS_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more errors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::from_bytes("a.toml".to_owned(), text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn an_error_shows_its_line_with_a_caret_below_the_first_wrong_character() {
        let text = "a = 1\r\n# \u{fc}\r\nworkers\t= 0\r\n";
        let at = text.find('0').unwrap();
        let error = source(text).error(at..at + 1, "write a number".to_owned());
        let expected = "a.toml:3:11: write a number\n  |\n3 | workers = 0\n  |           ^";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.in_one_line(), "a.toml:3:11: write a number");
    }

    #[test]
    fn an_error_at_the_end_of_a_file_or_beyond_it_has_a_position() {
        for text in ["", "a =", "a =\n", "\u{fc}"] {
            for at in 0..text.len() + 1 {
                let error = source(text).error(at..at, "more".to_owned()).to_string();
                assert!(error.starts_with("a.toml:") && error.ends_with('^'), "{error}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_shown_around_its_error() {
        let text = format!("{}!{}", "x".repeat(5_000), "y".repeat(5_000));
        let error = source(&text).error(5_000..5_001, "no".to_owned()).to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].starts_with("a.toml:1:5001: "), "{error}");
        assert_eq!(lines[2].find('!'), lines[3].find('^'), "{error}");
        assert!(lines.iter().all(|line| line.len() < 130), "{error}");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_at_their_line() {
        let error = Source::from_bytes("a.toml".to_owned(), b"a = 1\nb = \"\xff\"\n".to_vec());
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("a.toml:2:6: this is no UTF-8"), "{text}");
    }

    #[test]
    fn a_file_without_end_was_read_until_the_memory_was_full() {
        let error = Source::read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("/dev/zero: ") && error.contains("longer than 1024 KiB"), "{error}");
    }

    #[test]
    fn a_file_full_of_errors_prints_only_some_of_them() {
        let source = source("a\n");
        let errors = FileErrors(vec![source.error(0..1, "no".to_owned()); 1_000]);
        let text = errors.to_string();
        assert_eq!(text.matches("a.toml:1:1").count(), SHOWN_ERRORS_MAX);
        assert!(text.ends_with("and 980 more errors"), "{text}");
    }
}
