//! The exit codes, as the help lists them.

/// No request failed, every objective was met, and the measurement is not INVALID.
pub(crate) const OK: u8 = 0;
/// The run failed, or had errors.
pub(crate) const FAILED: u8 = 1;
/// An objective was missed, or a comparison found a regression.
pub(crate) const MISSED: u8 = 2;
/// The measurement is INVALID.
pub(crate) const INVALID: u8 = 3;
/// The command line is wrong (`EX_USAGE` of sysexits).
pub(crate) const USAGE: u8 = 64;
/// Ended by a signal; partial results were printed.
pub(crate) const INTERRUPTED: u8 = 130;
