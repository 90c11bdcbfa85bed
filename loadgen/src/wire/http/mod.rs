//! HTTP/1.1, as much of it as a `GET` needs (RFC 9112). Replies are parsed and compared with the
//! first one.
//!
//! ```text
//! request        the text of every request
//! head           the fields of a reply's head: status, end of the body, end of the connection
//! reply_decoder  the replies of one connection, parsed as they are received
//! body_check     a body, compared with that of the run's first reply
//! ```

mod body_check;
mod head;
mod reply_decoder;
mod request;

pub(super) use self::body_check::Reference;
pub(super) use self::reply_decoder::ReplyDecoder;
pub(super) use self::request::request;
pub(crate) use self::request::{header, path};
