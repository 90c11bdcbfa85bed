//! `loadgen run`: one measurement, reported and stored.

use crate::cli::run::RunArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::measure;
use crate::options::Options;
use crate::report::Reports;

/// Carries out the command and returns the exit code.
pub(crate) fn run(args: RunArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let options = Options::try_from(args)?;
    let mut reports = Reports::open(&options.output)?;
    let measurement = measure::measure(&options, interrupt, reports.observer())?;
    reports.write(&measurement)?;
    Ok(measurement.exit_code())
}
