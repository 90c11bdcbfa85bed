//! `loadgen report`: a stored run, sweep or search in any of its views.

use std::io;
use std::path::Path;

use super::stored::StoredFiles;
use super::{search, sweep};
use crate::atomic_file;
use crate::cli::ReportArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::report::text::Style;
use crate::report::{StoredResult, View, files, rewrite, view};

/// Carries out the command and returns the exit code.
pub(super) fn report(args: ReportArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    match several(&args.source)? {
        Some(stored) => report_several(&args, &stored)?,
        None => report_run(&args, &StoredResult::read(&args.source)?)?,
    }
    Ok(exit::OK)
}

/// The sweep or the search that the path means, by its directory or its JSON file.
fn several(source: &Path) -> Result<Option<StoredFiles>, Error> {
    let is = |name: &str| match source.is_dir() {
        true => !source.join(files::RECORD).exists() && source.join(name).exists(),
        false => source.file_name().is_some_and(|file| file == name),
    };
    let folder = match source.is_dir() {
        true => source,
        false => source.parent().unwrap_or(Path::new("")),
    };
    if is(files::SWEEP) {
        sweep::stored(folder).map(Some)
    } else if is(files::SEARCH) {
        search::stored(folder).map(Some)
    } else {
        Ok(None)
    }
}

fn report_several(args: &ReportArgs, stored: &StoredFiles) -> Result<(), Error> {
    if args.view == View::All {
        return stored.rewrite(args.out.as_deref().unwrap_or(&stored.folder), args.force);
    }
    let text = stored.view(args.view)?;
    match file(args) {
        None => console::print(text)?,
        Some(path) => atomic_file::text(path, text)?,
    }
    Ok(())
}

fn report_run(args: &ReportArgs, result: &StoredResult) -> Result<(), Error> {
    if args.view == View::All {
        return rewrite(result, args.out.as_deref().unwrap_or(&result.path), args.force);
    }
    match file(args) {
        None => console::print(&view(result, args.view, Style::of(&io::stdout()))?)?,
        Some(path) => atomic_file::text(path, &view(result, args.view, Style::PLAIN)?)?,
    }
    Ok(())
}

/// The file to write; nothing for stdout.
fn file(args: &ReportArgs) -> Option<&Path> {
    args.out.as_deref().filter(|path| *path != Path::new("-"))
}
