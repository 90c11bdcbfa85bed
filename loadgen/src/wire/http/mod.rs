//! HTTP/1.1, as much of it as a `GET` needs (RFC 9112): the request, and replies, parsed and
//! compared with the first one.
//!
//! ```text
//! request    the text of every request
//! head       what the head of a reply says: status, how its body ends, whether the connection does
//! body       what is compared of a body
//! chunks     the lines between the chunks of a body
//! decoder    the state of a connection in its replies
//! reference  the body that every reply must have, from the first complete one
//! fault      a byte that is wrong
//! ```

mod body;
mod chunks;
mod decoder;
mod fault;
mod head;
mod reference;
mod request;

pub(super) use self::decoder::Decoder;
pub(super) use self::fault::Fault;
pub(super) use self::reference::Reference;
pub(super) use self::request::request;
pub(crate) use self::request::{header, path};
