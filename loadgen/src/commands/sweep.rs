//! `loadgen sweep`.

use crate::cli::sweep::SweepArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn sweep(_args: SweepArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("sweep")
}
