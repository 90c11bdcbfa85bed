//! The bytes on the wire: what a request looks like, what its reply must be, how long it is.
//!
//! ```text
//! Protocol, Sizes, Verify  what was asked for
//! Traffic                  all of it together with the payload: shared by all connections, read-only
//! Exchange                 one connection's place in both directions
//! ```
//!
//! Request `k` of a connection is a pure function of seed, connection and `k`. Nothing here knows
//! sockets, time or schedules.

mod exchange;
pub(crate) mod payload;
mod protocol;
mod sizes;

pub(crate) use self::exchange::{Exchange, Traffic};
pub(crate) use self::payload::SLICE_BYTES_MAX;
pub(crate) use self::protocol::{Protocol, Verify};
pub(crate) use self::sizes::Sizes;
