//! HTTP/1.1, as much of it as a `GET` needs (RFC 9112): the request, and replies, parsed and
//! compared with the first one.
//!
//! ```text
//! request    the text of every request
//! head       what the head of a reply says: status, how its body ends, whether the connection does
//! body       what is compared of a body
//! reply_decoder    the state of a connection in its replies, the body that every reply must have, and
//!            the byte that is wrong
//! ```

mod body_check;
mod head;
mod reply_decoder;
mod request;

pub(super) use self::reply_decoder::{Fault, Reference, ReplyDecoder};
pub(super) use self::request::request;
pub(crate) use self::request::{header, path};
