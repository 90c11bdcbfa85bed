//! How to connect to a host name: look it up, order its addresses, try them.
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

pub(crate) use attempts::{ATTEMPT_DELAY, ConnectAttempts, Step};
pub use error::ConnectError;
pub(crate) use order::interleave;
pub(crate) use resolver::{Lookup, Resolver};
