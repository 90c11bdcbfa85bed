//! `loadgen report`: any view of a result again, from what was kept.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::report::{ReportArgs, View};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::report::{StoredResult, rewrite, view};

/// Carries out the command and returns the exit code.
pub(crate) fn report(args: ReportArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let result = StoredResult::read(&args.source)?;
    if args.view == View::All {
        rewrite(&result, args.out.as_deref().unwrap_or(&result.path))?;
        return Ok(exit::OK);
    }
    let text = view(&result, args.view)?;
    match args.out.as_deref() {
        None => print(&text),
        Some(path) if path == Path::new("-") => print(&text),
        Some(path) => fs::write(path, text).map_err(|source| Error::File {
            operation: "write",
            path: path.to_owned(),
            source,
        }),
    }?;
    Ok(exit::OK)
}

/// Prints to stdout; a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Error> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::WriteResults),
    }
}
