//! The bytes on the wire: the requests, their lengths, and the expected replies.
//!
//! ```text
//! Protocol, Sizes, Verify  the options of the traffic
//! TrafficSpec              all three, as options
//! Traffic                  all three and the payload: shared by all connections
//! Exchange                 one connection's position in both directions
//!   Stream                   one direction: its messages, and the position in them
//!     Framing, Frame           a message: head, payload, tail
//!   verify                   compares received bytes with the expected replies
//!     Reply                    a complete reply: right, unexpected, or changed
//!     Mismatch                 the first byte that is wrong
//!   http                     HTTP requests, and replies that are not known beforehand
//!   key_value                commands of Redis and memcached with keys, and their replies
//!   Order                    how connections choose among the requests of a file
//!   websocket                messages of WebSocket, and replies in any number of frames
//!   RequestsInFlight         those of a connection that are made: to be sent, to be answered
//! Setup, SetupExchange     what a connection says before its first request, and the replies
//! ```
//!
//! Request `k` of a connection is a pure function of seed, connection and `k`, and so is its reply,
//! except over HTTP and where keys are shared. Nothing here knows sockets, time or schedules.

mod exchange;
mod frame;
mod framing;
pub(crate) mod http;
mod key_value;
mod lines;
mod mismatch;
mod order;
mod payload;
mod reply;
mod requests_in_flight;
mod setup;
mod sizes;
mod spec;
mod stream;
#[cfg(test)]
mod tests;
mod traffic;
mod verify;
mod websocket;

pub(crate) use self::exchange::Exchange;
pub(crate) use self::key_value::{
    CommandFile, CommandSetup, Commands, Credentials, KeyCount, KeyDistribution, KeyPrefix,
    KeyValueSpec, Mix, Preload, STAMP_BYTES,
};
pub(crate) use self::lines::{BYTES_MAX, REQUESTS_MAX};
pub(crate) use self::mismatch::Mismatch;
pub(crate) use self::order::Order;
pub(crate) use self::payload::SLICE_BYTES_MAX;
#[cfg(test)]
pub(crate) use self::reply::ErrorWord;
pub(crate) use self::reply::{Outcome, Reply, UnexpectedReply, WrongKind, WrongValue};
pub(crate) use self::setup::{Setup, SetupExchange};
pub(crate) use self::sizes::Sizes;
pub(crate) use self::spec::{Protocol, TrafficSpec, Verify};
pub(crate) use self::traffic::Traffic;
pub(crate) use self::websocket::Upgrade;
