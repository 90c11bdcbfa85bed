//! Making a base: its options, the choice of a backend, and new kernel objects after a fork.

pub(super) mod config;
mod reinit;
pub(super) mod selection;
