//! How to connect to a host name: look it up, order its addresses, try them.
//!
//! 1. A [`Resolver`] looks the name up on a thread of its own.
//! 2. `order.rs` orders the addresses so that both families are tried early.
//! 3. `attempts.rs` decides when to try which address ("Happy Eyeballs", RFC 8305).
//! 4. `socket.rs` opens the socket of an attempt, and says what became of it.
//! 5. A [`Connector`] does all that on a base, for an owner that has the handlers of its events.
//!
//! Nothing here waits.

mod attempts;
mod connector;
mod error;
mod lookup_queue;
mod order;
mod resolver;
mod socket;

pub(crate) use connector::{ConnectEvents, Connector, Progress};
pub use error::ConnectError;
pub(crate) use resolver::Resolver;
