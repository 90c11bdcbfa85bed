//! Buffered events (libevent: bufferevents): their rate limits, and how they connect.

#[cfg_attr(not(test), expect(dead_code, reason = "bufferevents will use it"))]
mod connect;
#[cfg_attr(not(test), expect(dead_code, reason = "bufferevents will use it"))]
mod rate_limit;

pub use connect::ConnectError;
pub use rate_limit::{RateLimit, RateLimitError};
