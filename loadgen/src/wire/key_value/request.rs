//! One request that was made.

/// A request: what it takes to make its bytes again, and to judge its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Its number on the connection, from 0.
    pub(super) number: u64,
    /// Number of its command among those of the run.
    pub(super) command: u32,
    pub(super) key: u32,
    /// Length of the value that it writes; 0 if it writes none.
    pub(super) size: u32,
    /// The version that it writes; of a read, the earliest that it may return.
    pub(super) version: u32,
    /// Of a write: all versions up to this one had been acknowledged when it was made.
    pub(super) settled: u32,
}
