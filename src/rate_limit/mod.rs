//! Rate limits, without input, output or a clock: callers pass the time, in nanoseconds.
//!
//! A [`RateLimit`] is a configuration. A [`TokenBucket`] holds what may still be read or written.
//! Bufferevents and the server stand on it.

mod bucket;
mod limit;
#[cfg(test)]
mod tests;

pub(crate) use bucket::TokenBucket;
pub(crate) use limit::Direction;
pub use limit::{RateLimit, RateLimitError};
