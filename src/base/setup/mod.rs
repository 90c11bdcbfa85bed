//! Before a base exists: its options, and the choice of its backend.

pub(super) mod config;
pub(super) mod selection;
