//! The network as a loading thread sees it: streams to the server, their readiness, and the clock.
//!
//! The thread's loop uses only the trait [`Network`]. In a run, `sockets.rs` implements it with
//! non-blocking sockets, one epoll set and the monotonic clock. In tests, a simulation implements
//! it: the tests set the clock, and a formula computes the replies.

use std::io::{self, Read, Write};

/// The readiness that a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadWrite,
}

/// The readiness of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    /// Also set on errors and hang-ups; the read returns which.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Identifies a stream. The streams of a connection have different generations, so an event of an
/// old stream never reaches its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) connection: u32,
    pub(crate) generation: u32,
}

/// Streams to one server, their readiness, and the clock.
pub(crate) trait Network {
    type Stream: Read + Write;

    /// Nanoseconds since the run's epoch.
    fn now_ns(&self) -> u64;

    /// Begins to connect; the stream is watched for [`Interest::Write`] and becomes writable when
    /// the handshake has ended. `number` is the connection's number in the run. It chooses the
    /// source address.
    fn connect(&mut self, token: Token, number: u32) -> io::Result<Self::Stream>;

    /// Whether the handshake succeeded, or its error.
    fn connected(&self, stream: &Self::Stream) -> io::Result<()>;

    /// Changes the readiness that a stream waits for. Closing a stream ends its watch.
    fn watch(&self, stream: &Self::Stream, token: Token, interest: Interest) -> io::Result<()>;

    /// Waits until a stream is ready or one of the times has come; returns how many are ready.
    ///
    /// The wait ends at `until_ns` as precisely as the pacing allows, and at `heartbeat_ns` as
    /// precisely as a sleep does.
    fn wait(&mut self, until_ns: u64, heartbeat_ns: u64) -> io::Result<usize>;

    /// Event number `index` of the latest wait; less than the number that the wait returned.
    fn ready(&self, index: usize) -> Ready;
}
