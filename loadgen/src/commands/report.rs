//! `loadgen report`: a stored run, sweep, search or ab in any of its views.

use std::io;
use std::path::Path;

use super::stored::StoredFiles;
use super::{ab, search, sweep};
use crate::cli::ReportArgs;
use crate::destination::{Destination, Output};
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

/// The sweep, the search or the ab that the path means, by its directory or its JSON file.
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
    } else if is(files::AB) {
        ab::stored(folder).map(Some)
    } else {
        Ok(None)
    }
}

fn report_several(args: &ReportArgs, stored: &StoredFiles) -> Result<(), Error> {
    if args.view == View::All {
        return stored.rewrite(args.out.as_deref().unwrap_or(&stored.folder), args.force);
    }
    output(args)?.write(stored.view(args.view)?)
}

fn report_run(args: &ReportArgs, result: &StoredResult) -> Result<(), Error> {
    if args.view == View::All {
        return rewrite(result, args.out.as_deref().unwrap_or(&result.path), args.force);
    }
    let output = output(args)?;
    let style = match output {
        Output::Stdout => Style::of(&io::stdout()),
        Output::File { .. } => Style::PLAIN,
    };
    output.write(&view(result, args.view, style)?)
}

fn output(args: &ReportArgs) -> Result<Output, Error> {
    let named = args.out.as_ref().map(|path| Destination::from(path.clone().into_os_string()));
    named.unwrap_or(Destination::Stdout).open()
}
