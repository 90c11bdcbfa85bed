//! `loadgen selftest`.

use crate::cli::check::SelftestArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn selftest(_args: SelftestArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("selftest")
}
