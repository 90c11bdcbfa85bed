//! HTTP/1.1 (RFC 9112): requests of any method, and replies that are parsed, and compared with what
//! the user expects or with the first one that has the same request and status.
//!
//! ```text
//! HttpOptions       the options: requests, order, data, what replies must be
//!   RequestFile       requests, one on each line
//!   DataFile          values for their placeholders
//! HttpSpec          the same, checked and prepared
//!   Template          the bytes of a request, with places for the values of a row
//! HttpTraffic       what all connections share
//! HttpExchange      one connection: its requests, and the replies to them
//!   ReplyDecoder      the replies, parsed as they are received
//!     Head              a reply's status, the end of its body, the end of the connection
//!     ExpectedStatuses  the statuses that replies may have
//!     BodyCheck         a body, compared with that of the first reply
//!     ExpectationCheck  a body, compared with what the user expects
//!     Quote             the words of a reply with an unexpected status
//! ```
//!
//! Request `k` of a connection is a pure function of seed, connection and `k`.

mod body_check;
mod body_expectation;
mod data_file;
mod exchange;
mod head;
mod quote;
mod reply_decoder;
mod request;
mod request_file;
mod spec;
mod statuses;
mod template;
mod traffic;

pub(crate) use self::body_expectation::BodyExpectation;
pub(crate) use self::data_file::DataFile;
pub(super) use self::exchange::HttpExchange;
pub(super) use self::head::parse as parse_head;
pub(super) use self::request::name_of;
pub(crate) use self::request::{Body, Method, RequestSpec, header, path};
pub(crate) use self::request_file::RequestFile;
pub(crate) use self::spec::{HttpOptions, HttpSpec, Requests};
pub(crate) use self::statuses::ExpectedStatuses;
pub(crate) use self::template::without_placeholders;
pub(super) use self::traffic::HttpTraffic;
