//! What a loading thread needs: a clock, streams, and a way to wait for both.
//!
//! The loop uses only this trait. Tests run it on a simulated network, with a clock that they move
//! and servers whose replies follow from a formula.

use std::io::{self, Read, Write};

/// The readiness that a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadWrite,
}

/// What has happened to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    /// Also set on errors and hang-ups: the read finds out which.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Names a stream. The streams of a connection have different generations, so an event of an old
/// stream is never taken for one of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) connection: u32,
    pub(crate) generation: u32,
}

/// A clock, streams to one server, and readiness.
pub(crate) trait Network {
    type Stream: Read + Write;

    /// Nanoseconds since the run's epoch.
    fn now_ns(&self) -> u64;

    /// Begins to connect; the stream is watched for [`Interest::Write`] and becomes writable when
    /// the handshake has ended. `number` counts the run's connections, to share out addresses.
    fn connect(&mut self, token: Token, number: u32) -> io::Result<Self::Stream>;

    /// How the handshake ended.
    fn connected(&self, stream: &Self::Stream) -> io::Result<()>;

    /// Changes what a stream waits for. Closing a stream ends its watch.
    fn watch(&self, stream: &Self::Stream, token: Token, interest: Interest) -> io::Result<()>;

    /// Waits until a stream is ready or `until_ns` has come; returns how many are ready.
    fn wait(&mut self, until_ns: u64) -> io::Result<usize>;

    /// What the latest wait found, `index` below the number it returned.
    fn ready(&self, index: usize) -> Ready;
}
