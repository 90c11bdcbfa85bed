//! The subcommands, each from its flags to its exit code. The longer ones have files of their own.

mod ab;
mod agent;
mod calibrate;
mod csv;
mod documents;
mod echo_server;
mod env;
mod import;
mod plot;
mod report;
mod search;
mod selftest;
mod stored;
mod sweep;
mod verdicts;

use std::fs;

use crate::cli::{Command, CompareArgs, MergeArgs, RunArgs};
use crate::comparison::{self, Comparison, Side};
use crate::console;
use crate::destination::Destination;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Loader, Measured};
use crate::merging::Merged;
use crate::options::Options;
use crate::report::{Reports, ResultFolder, StoredResult, json, print_beside, text};
use crate::slo;

/// Carries out a command and returns the exit code.
pub(crate) fn carry_out(command: Command, interrupt: &Interrupt) -> Result<u8, Error> {
    match command {
        Command::Run(args) => run(*args, interrupt),
        Command::Search(args) => search::search(*args, interrupt),
        Command::Sweep(args) => sweep::sweep(*args, interrupt),
        Command::Ab(args) => ab::ab(*args, interrupt),
        Command::Compare(args) => compare(args, interrupt),
        Command::Report(args) => report::report(args, interrupt),
        Command::Import(args) => import::import(args, interrupt),
        Command::Plot(args) => plot::plot(args, interrupt),
        Command::Merge(args) => merge(args, interrupt),
        Command::Agent(args) => agent::agent(args, interrupt),
        Command::Selftest(args) => selftest::selftest(args, interrupt),
        Command::Calibrate(args) => calibrate::calibrate(args, interrupt),
        Command::Env(args) => env::env(args, interrupt),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(args),
    }
}

/// `loadgen run`: one measurement, reported and stored.
fn run(args: RunArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let options = Options::try_from(args)?;
    let mut reports = Reports::open(&options, interrupt)?;
    let mut loader = Loader::default();
    let Measured { measurement, failure } =
        measure::measure(&options, &mut loader, interrupt, &mut reports)?;
    // Its agents end now, and not when the last scrape of the results has come.
    drop(loader);
    let exit_code = measurement.exit_code();
    let written = reports.finish(measurement);
    let ended = console::first_error([failure.map_or(Ok(()), Err), written]);
    if exit_code == exit::INTERRUPTED
        && let Err(error) = ended
    {
        // The interrupt comes first in the order of exit codes.
        console::say(&error.to_string());
        return Ok(exit_code);
    }
    ended?;
    Ok(exit_code)
}

/// `loadgen merge`: the results of several loaders that ran at the same time, added.
fn merge(args: MergeArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
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
    let mut folder = ResultFolder::open(&args.out, args.force)?;
    folder.begin();
    merged.write_logs(&mut folder)?;
    let written = folder.finish(&merged.measurement);
    let (record, latencies) = (&merged.measurement.record, &merged.measurement.latencies);
    let printed = print_beside(None, |style| text::render(record, latencies, style));
    console::first_error([written, printed])?;
    Ok(merged.measurement.exit_code())
}

/// `loadgen compare`: is B faster, slower or the same?
fn compare(args: CompareArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let delta = slo::share(&args.delta)
        .map_err(|complaint| Error::Usage(format!("--delta: {complaint}")))?;
    let output = args.json.as_ref().map(Destination::open).transpose()?;
    let comparison = Comparison::of(&Side::read(&args.a)?, &Side::read(&args.b)?, delta);
    let text = json::text(&comparison)?;
    let written = output.as_ref().map_or(Ok(()), |output| output.write(&text));
    let printed = print_beside(output.as_ref(), |style| comparison::render(&comparison, style));
    console::first_error([written, printed])?;
    Ok(comparison.exit_code())
}
