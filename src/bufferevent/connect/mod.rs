//! How a bufferevent connects to a host name: look it up, order its addresses, try them.
//!
//! 1. A [`Resolver`] looks the name up on a thread of its own.
//! 2. [`interleave`] orders the addresses so that both families are tried early.
//! 3. [`ConnectAttempts`] decides when to try which address ("Happy Eyeballs", RFC 8305).
//!
//! Nothing here opens a socket: callers do what [`Step`] says.

mod attempts;
mod error;
mod lookup_queue;
mod order;
mod resolver;

#[expect(unused_imports, reason = "bufferevents will use them")]
pub(crate) use attempts::{ConnectAttempts, Step};
pub use error::ConnectError;
#[expect(unused_imports, reason = "bufferevents will use it")]
pub(crate) use order::interleave;
#[expect(unused_imports, reason = "bufferevents will use them")]
pub(crate) use resolver::{Lookup, Resolver};
