//! `loadgen calibrate`.

use crate::cli::check::CalibrateArgs;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out the command and returns the exit code.
pub(crate) fn calibrate(_args: CalibrateArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    todo!("calibrate")
}
