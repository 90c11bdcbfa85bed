//! `loadgen search`.

use crate::cli::search::SearchArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn search(_args: SearchArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("search")
}
