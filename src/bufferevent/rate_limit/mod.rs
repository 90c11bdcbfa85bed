//! Rate limits, without input, output or a clock: callers pass the time, in nanoseconds.
//!
//! A [`RateLimit`] is a configuration. A [`TokenBucket`] holds what one bufferevent may still read
//! or write. A [`Group`] holds what many may transfer together, and shares it among them.

mod bucket;
mod group;
mod limit;
mod members;
#[cfg(test)]
mod tests;

pub(crate) use bucket::TokenBucket;
pub use group::GroupTotals;
pub(crate) use group::{Change, Group};
pub(crate) use limit::Direction;
pub use limit::{RateLimit, RateLimitError};
