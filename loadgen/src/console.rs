//! Output to the terminal.

use std::io::{self, ErrorKind, Write};

use crate::error::Error;

/// Prints a report or a record to stdout.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_to(&mut io::stdout().lock(), text)
}

/// Prints a report or a record. A reader that closes the pipe early (`| head`) is no failure.
pub(crate) fn print_to(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::WriteResults(error)),
        _ => Ok(()),
    }
}

/// The first error of several writes. Each further one is a line on stderr.
pub(crate) fn first_error(
    written: impl IntoIterator<Item = Result<(), Error>>,
) -> Result<(), Error> {
    let mut errors = written.into_iter().filter_map(Result::err);
    let Some(first) = errors.next() else { return Ok(()) };
    errors.for_each(|error| say(&error.to_string()));
    Err(first)
}

/// Writes one line to stderr, after the name of the program. Words of others in it cannot control
/// the terminal.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {}", without_controls(line));
}

/// A text without control characters, apart from line feeds.
fn without_controls(text: &str) -> String {
    let is_control = |character: char| character.is_control() && character != '\n';
    text.replace(is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_agent_could_colour_the_terminal() {
        assert_eq!(without_controls("a\x1b[31mb\tc\nd"), "a\u{fffd}[31mb\u{fffd}c\nd");
    }
}
