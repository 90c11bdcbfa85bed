//! Output to the terminal.

use std::io::{self, Write as _};

/// Prints a report or a record to stdout.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    // A reader that has closed the pipe does not need the rest.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line to stderr, after the name of the program.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {line}");
}
