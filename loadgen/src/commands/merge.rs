//! `loadgen merge`: what several loaders measured at the same time, added.

use std::fs;
use std::io;

use crate::cli::report::MergeArgs;
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::merging::Merged;
use crate::report::text::{self, Style};
use crate::report::{ResultFolder, StoredResult};

/// Carries out the command and returns the exit code.
pub(crate) fn merge(args: MergeArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let out = fs::canonicalize(&args.out).ok();
    for (index, source) in args.sources.iter().enumerate() {
        let real = fs::canonicalize(source).ok();
        if real.is_some() && real == out {
            return Err(Error::Usage(format!(
                "--out {}: a result cannot be merged into itself; name another directory",
                args.out.display()
            )));
        }
        let earlier = args.sources[..index].iter().filter_map(|path| fs::canonicalize(path).ok());
        if earlier.map(Some).any(|path| path == real) {
            return Err(Error::Usage(format!(
                "{} is named twice; its requests would count twice",
                source.display()
            )));
        }
    }
    let sources = args.sources.iter().map(|path| StoredResult::read(path));
    let merged = Merged::of(sources.collect::<Result<_, _>>()?)?;
    let mut folder = ResultFolder::open(&args.out)?;
    merged.replay(&mut folder)?;
    folder.finish(&merged.measurement)?;
    let (record, latencies) = (&merged.measurement.record, &merged.measurement.latencies);
    console::print(&text::render(record, latencies, Style::of(&io::stdout())));
    Ok(merged.measurement.exit_code())
}
