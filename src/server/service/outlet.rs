//! The outlet: what a service may do with its connection while it is called.
//!
//! Small pieces are gathered in a buffer of the shard and leave in one call after the service
//! returned; a large one leaves at once, without being copied. What the socket does not take is
//! kept by the connection.

use std::io::{self, Write};
use std::time::Duration;

use socket2::Socket;

/// From here on a piece is sent directly: copying it would cost more than a call saves.
const DIRECT_BYTES_MIN: usize = 4096;
/// Gathered bytes are sent when there are so many.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Bytes that the socket did not take yet.
#[derive(Debug, Default)]
pub(in crate::server) struct PendingOutput {
    bytes: Vec<u8>,
    sent: usize,
}

impl PendingOutput {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn push(&mut self, bytes: &[u8]) {
        // What was sent makes room before more memory is asked for.
        if self.sent > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends more of it; returns how many bytes the socket took.
    pub(in crate::server) fn send(&mut self, socket: &Socket) -> io::Result<usize> {
        let sent = send(socket, &self.bytes[self.sent..])?;
        self.sent += sent;
        Ok(sent)
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a service asked for in a call, to be done after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum NextStep {
    /// Go on reading.
    #[default]
    Read,
    /// Call `resume` once everything is sent.
    ResumeWhenSent,
    /// Read nothing for a while, then call `resume`.
    Pause(Duration),
    /// Close once everything is sent.
    Close,
    /// Reset now.
    Abort,
}

/// What a service may do with its connection while it is called.
#[derive(Debug)]
pub struct Outlet<'a> {
    pipe: Pipe<'a>,
    /// The shard's buffer, empty when a call begins and when it ends. While the connection owes
    /// anything, nothing is gathered.
    gathered: &'a mut Vec<u8>,
    pub(in crate::server) next_step: NextStep,
}

/// The way to the peer.
#[derive(Debug)]
struct Pipe<'a> {
    socket: &'a Socket,
    /// What the connection owes already.
    pending: &'a mut Option<Box<PendingOutput>>,
    pending_bytes_max: usize,
    bytes_out: &'a mut u64,
    failure: Option<OutletFailure>,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum OutletFailure {
    /// A call on its socket failed.
    Broken,
    /// More is owed than may be kept.
    TooLarge,
}

impl<'a> Outlet<'a> {
    /// For one call; `gathered` is empty.
    pub(in crate::server) fn new(
        socket: &'a Socket,
        gathered: &'a mut Vec<u8>,
        pending: &'a mut Option<Box<PendingOutput>>,
        pending_bytes_max: usize,
        bytes_out: &'a mut u64,
    ) -> Self {
        let pipe = Pipe { socket, pending, pending_bytes_max, bytes_out, failure: None };
        Self { pipe, gathered, next_step: NextStep::default() }
    }

    /// Sends bytes, in the order of the calls. They are kept while the peer does not read, beyond
    /// [`Limits::buffer_bytes`](crate::server::Limits::buffer_bytes) at the cost of the connection,
    /// which is reset then; see [`room`](Self::room).
    pub fn send(&mut self, bytes: &[u8]) {
        if self.pipe.pending.is_some() {
            self.pipe.keep(bytes);
        } else if self.gathered.is_empty() && bytes.len() >= DIRECT_BYTES_MIN {
            self.pipe.send(bytes);
        } else {
            self.gathered.extend_from_slice(bytes);
            if self.gathered.len() >= GATHERED_BYTES_MAX {
                self.flush();
            }
        }
    }

    /// How many more bytes are surely taken.
    #[must_use]
    pub fn room(&self) -> usize {
        let owed =
            self.pipe.pending.as_ref().map_or(0, |pending| pending.len()) + self.gathered.len();
        self.pipe.pending_bytes_max.saturating_sub(owed)
    }

    /// Has [`Service::resume`](super::Service::resume) called once everything is sent; until then
    /// nothing is read.
    pub fn continue_when_sent(&mut self) {
        self.next_step = NextStep::ResumeWhenSent;
    }

    /// Reads nothing for a while, then has [`Service::resume`](super::Service::resume) called. The
    /// time begins when everything is sent.
    pub fn pause_for(&mut self, time: Duration) {
        self.next_step = NextStep::Pause(time);
    }

    /// Closes the connection once everything is sent; nothing more is read.
    pub fn close(&mut self) {
        self.next_step = NextStep::Close;
    }

    /// Resets the connection.
    pub fn abort(&mut self) {
        self.next_step = NextStep::Abort;
    }

    /// Whether the service may receive more: it wishes for nothing else, and nothing is owed.
    pub(in crate::server) fn can_receive_more(&self) -> bool {
        self.next_step == NextStep::Read
            && self.pipe.pending.is_none()
            && self.pipe.failure.is_none()
    }

    /// Drops what was gathered: nobody is to hear it any more.
    pub(in crate::server) fn forget(self) {
        self.gathered.clear();
    }

    /// Sends what was gathered; the call is over. Why the connection cannot go on, if it cannot.
    pub(in crate::server) fn finish(mut self) -> Result<NextStep, OutletFailure> {
        self.flush();
        self.pipe.failure.map_or(Ok(self.next_step), Err)
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.pipe.send(self.gathered);
            self.gathered.clear();
        }
    }
}

impl Pipe<'_> {
    /// Nothing is owed; what the socket does not take will be.
    fn send(&mut self, bytes: &[u8]) {
        match send(self.socket, bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                if sent < bytes.len() {
                    self.keep(&bytes[sent..]);
                }
            }
            Err(_) => self.failure = Some(OutletFailure::Broken),
        }
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let pending = self.pending.get_or_insert_default();
        if pending.len() + bytes.len() > self.pending_bytes_max {
            self.failure = Some(OutletFailure::TooLarge);
        } else {
            pending.push(bytes);
        }
    }
}

/// Sends as much as the socket takes, perhaps nothing.
fn send(mut socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if would_wait(&error) => Ok(0),
        result => result,
    }
}

/// Not now; the event base calls again when it makes sense.
pub(in crate::server) fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
