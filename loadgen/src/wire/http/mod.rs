//! HTTP/1.1, as much of it as a `GET` needs (RFC 9112). Replies are parsed and compared with the
//! first one that has the same status.
//!
//! ```text
//! request        the text of every request
//! head           the fields of a reply's head: status, end of the body, end of the connection
//! reply_decoder  the replies of one connection, parsed as they are received
//! statuses       the statuses that replies may have
//! body_check     a body, compared with that of the run's first reply
//! quote          the words of a reply with an unexpected status
//! ```

mod body_check;
mod head;
mod quote;
mod reply_decoder;
mod request;
mod statuses;

use self::body_check::References;
pub(super) use self::reply_decoder::{DecodedReply, ReplyDecoder};
pub(super) use self::request::request;
pub(crate) use self::request::{header, path};
pub(crate) use self::statuses::ExpectedStatuses;
use super::spec::Verify;

/// What replies are compared with, and how closely.
#[derive(Debug)]
pub(super) struct Rules {
    verify: Verify,
    expected: ExpectedStatuses,
    references: References,
}

impl Rules {
    /// The rules of a run, before its first reply.
    pub(super) fn new(verify: Verify, expected: ExpectedStatuses) -> Self {
        Self { verify, expected, references: References::default() }
    }
}
