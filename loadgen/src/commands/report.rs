//! `loadgen report`.

use crate::cli::report::ReportArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn report(_args: ReportArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("report")
}
