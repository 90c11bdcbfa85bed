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

/// Writes one line to stderr, after the name of the program.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {line}");
}
