//! `loadgen report`: any view of a stored result again.

use std::fs;
use std::io;
use std::path::Path;

use crate::atomic_file;
use crate::cli::report::ReportArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::report::text::Style;
use crate::report::{StoredResult, View, rewrite, view};

/// Carries out the command and returns the exit code.
pub(crate) fn report(args: ReportArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let result = StoredResult::read(&args.source)?;
    if args.view == View::All {
        rewrite(&result, args.out.as_deref().unwrap_or(&result.path))?;
        return Ok(exit::OK);
    }
    match args.out.as_deref().filter(|path| *path != Path::new("-")) {
        None => console::print(&view(&result, args.view, Style::of(&io::stdout()))?),
        Some(path) => fs::write(path, view(&result, args.view, Style::PLAIN)?)
            .map_err(atomic_file::failure("write", path))?,
    }
    Ok(exit::OK)
}
