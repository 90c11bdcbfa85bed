//! `loadgen compare`.

use crate::cli::compare::CompareArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn compare(_args: CompareArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("compare")
}
