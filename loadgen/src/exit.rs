//! The exit codes, as the help lists them.

/// Every reply came back right.
pub(crate) const OK: u8 = 0;
/// The run failed, or had errors.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong (`EX_USAGE` of sysexits).
pub(crate) const USAGE: u8 = 64;
/// Ended by a signal; partial results were printed.
pub(crate) const INTERRUPTED: u8 = 130;
