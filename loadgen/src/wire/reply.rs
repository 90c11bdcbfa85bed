//! A complete reply: right, with an unexpected status, or with a body that has changed.

use serde::{Deserialize, Serialize};

use super::mismatch::Mismatch;

/// A complete reply. Whatever it is, the connection can carry the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The expected reply. Over HTTP it has a status.
    Right { status: Option<u16> },
    /// The status is not an expected one; or, without a status, an error line of Redis or
    /// memcached. The first of each connection is quoted.
    Unexpected { status: Option<u16>, quote: Option<Box<UnexpectedReply>> },
    /// The status is expected, but the body is not that of the run's first reply with this status.
    BodyChanged { status: u16, change: Box<Mismatch> },
}

impl Reply {
    /// The status code. Only HTTP has one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Right { status } | Self::Unexpected { status, .. } => *status,
            Self::BodyChanged { status, .. } => Some(*status),
        }
    }
}

/// The words of a reply with an unexpected status, made printable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnexpectedReply {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// The first line: the status line of HTTP, the error line of Redis and memcached.
    pub(crate) first_line: String,
    /// The first line of the body that is not empty; HTTP only.
    pub(crate) body_line: Option<String>,
}
