//! The first byte of a reply that was wrong.

use serde::{Deserialize, Serialize};

/// The first byte of a connection's replies that was not the expected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatch {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// Offset in bytes within that request's reply.
    pub(crate) offset_bytes: u64,
    /// The expected byte, or nothing where no byte was expected.
    pub(crate) expected: Option<u8>,
    /// The byte received.
    pub(crate) got: u8,
    /// What else is known, such as the error text that the server sent instead.
    pub(crate) note: Option<String>,
}
