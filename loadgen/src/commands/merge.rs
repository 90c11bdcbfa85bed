//! `loadgen merge`.

use crate::cli::report::MergeArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn merge(_args: MergeArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("merge")
}
