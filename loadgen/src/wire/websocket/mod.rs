//! WebSocket (RFC 6455), as a client: each request is a masked message, and its reply the same
//! message, in any number of frames.
//!
//! ```text
//! Upgrade           the HTTP request that begins a connection
//!   UpgradeExchange   that of one stream, and the check of its reply
//! WebSocketExchange one connection: its messages, and the replies to them
//!   FrameReader       finds the frames of the server
//!     FrameHead         what a frame is, and how long
//!   ExpectedReplies   what the server must echo
//!   ControlFrames     pongs and the close frame, which are sent between two messages
//! ```
//!
//! Request `k` of a connection is a pure function of seed, connection and `k`. The masked payload
//! is a slice of a ring that is masked once: see [`super::payload`].

mod control;
mod exchange;
mod expected_replies;
mod frame_head;
mod frame_reader;
#[cfg(test)]
mod tests;
mod upgrade;

pub(super) use self::exchange::WebSocketExchange;
pub(crate) use self::upgrade::{Upgrade, UpgradeExchange};
