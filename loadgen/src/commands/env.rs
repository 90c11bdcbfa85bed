//! `loadgen env`.

use crate::cli::check::EnvArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn env(_args: EnvArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("env")
}
