//! How to connect to a host name: look it up, order its addresses, try them.
//!
//! 1. A [`Resolver`] looks the name up on a thread of its own.
//! 2. [`interleave`] orders the addresses so that both families are tried early.
//! 3. [`ConnectAttempts`] decides when to try which address ("Happy Eyeballs", RFC 8305).
//! 4. [`start_connect`] opens the socket of an attempt, and [`outcome`] says what became of it.
//!
//! Nothing here waits, and only sockets do I/O: callers do what [`Step`] says, and have the events.

mod attempts;
mod connector;
mod error;
mod lookup_queue;
mod order;
mod resolver;
mod socket;

pub(crate) use attempts::{ATTEMPT_DELAY, ConnectAttempts, Step};
#[cfg(feature = "server")]
pub(crate) use connector::{ConnectEvents, Connector, Progress};
pub use error::ConnectError;
pub(crate) use order::interleave;
pub(crate) use resolver::{Lookup, Resolver};
pub(crate) use socket::{outcome, start_connect};
