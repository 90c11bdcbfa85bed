//! The first byte of a reply that was wrong.

use serde::{Deserialize, Serialize};

/// The first reply byte of a connection that was not the byte owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatch {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// Offset in bytes within that request's reply.
    pub(crate) offset_bytes: u64,
    /// The byte owed, or nothing when no byte was owed at all.
    pub(crate) expected: Option<u8>,
    /// The byte that came.
    pub(crate) got: u8,
    /// What else is known, such as the error text that the server sent instead.
    pub(crate) note: Option<String>,
}
