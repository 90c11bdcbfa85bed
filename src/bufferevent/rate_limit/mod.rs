//! Groups of bufferevents with one rate limit, without input, output or a clock: callers pass the
//! time, in nanoseconds. A [`Group`] holds what many may transfer together, and shares it among
//! them.

mod group;
mod members;
#[cfg(test)]
mod tests;

pub use group::GroupTotals;
pub(crate) use group::{Change, Group};
