//! The outlet: what a service may do with its connection during a call.
//!
//! Small writes are collected in a buffer of the shard and sent in one call after the service
//! returned. A large write is sent at once, without a copy. What the socket does not take is kept
//! by the connection.

use std::io::{self, Write};
use std::time::Duration;

use socket2::Socket;

use crate::sys::socket::would_block;

/// From this size on a write is sent directly: a copy would cost more than a saved call.
const DIRECT_BYTES_MIN: usize = 4096;
/// Collected bytes are sent at this size.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;

/// Output that the socket has not taken yet.
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
        // Reuse the space of sent bytes before growing.
        if self.sent > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends more; returns how many bytes the socket took.
    pub(in crate::server) fn send(&mut self, socket: &Socket) -> io::Result<usize> {
        let sent = send(socket, &self.bytes[self.sent..])?;
        self.sent += sent;
        Ok(sent)
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the connection does after a call of its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum NextStep {
    /// Continue to read.
    #[default]
    Read,
    /// Call `resume` once everything is sent.
    ResumeWhenSent,
    /// Read nothing for this time, then call `resume`.
    Pause(Duration),
    /// Close once everything is sent.
    Close,
    /// Reset now.
    Abort,
}

/// What a service may do with its connection during a call.
#[derive(Debug)]
pub struct Outlet<'a> {
    pipe: Pipe<'a>,
    /// The shard's buffer, empty before and after a call. Nothing is collected while output is
    /// pending.
    buffered: &'a mut Vec<u8>,
    pub(in crate::server) next_step: NextStep,
}

/// The output side of the connection.
#[derive(Debug)]
struct Pipe<'a> {
    socket: &'a Socket,
    /// Output that is already pending.
    pending: &'a mut Option<Box<PendingOutput>>,
    pending_bytes_max: usize,
    bytes_out: &'a mut u64,
    failure: Option<OutletFailure>,
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum OutletFailure {
    /// A call on its socket failed.
    Broken,
    /// The pending output exceeds its limit.
    TooLarge,
}

impl<'a> Outlet<'a> {
    /// Creates the outlet of one call; `buffered` is empty.
    pub(in crate::server) fn new(
        socket: &'a Socket,
        buffered: &'a mut Vec<u8>,
        pending: &'a mut Option<Box<PendingOutput>>,
        pending_bytes_max: usize,
        bytes_out: &'a mut u64,
    ) -> Self {
        let pipe = Pipe { socket, pending, pending_bytes_max, bytes_out, failure: None };
        Self { pipe, buffered, next_step: NextStep::default() }
    }

    /// Sends bytes, in the order of the calls. While the peer does not read, they are kept. If they
    /// exceed [`Limits::buffer_bytes`](crate::server::Limits::buffer_bytes), the connection is
    /// reset; see [`room`](Self::room).
    pub fn send(&mut self, bytes: &[u8]) {
        if self.pipe.pending.is_some() {
            self.pipe.queue(bytes);
        } else if self.buffered.is_empty() && bytes.len() >= DIRECT_BYTES_MIN {
            self.pipe.send(bytes);
        } else {
            self.buffered.extend_from_slice(bytes);
            if self.buffered.len() >= BUFFERED_BYTES_MAX {
                self.flush();
            }
        }
    }

    /// How many more bytes fit within the limit.
    #[must_use]
    pub fn room(&self) -> usize {
        let pending =
            self.pipe.pending.as_ref().map_or(0, |pending| pending.len()) + self.buffered.len();
        self.pipe.pending_bytes_max.saturating_sub(pending)
    }

    /// Calls [`Service::resume`](super::Service::resume) once everything is sent. Until then
    /// nothing is read.
    pub fn continue_when_sent(&mut self) {
        self.next_step = NextStep::ResumeWhenSent;
    }

    /// Reads nothing for this time, then calls [`Service::resume`](super::Service::resume). The
    /// time begins once everything is sent.
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

    /// Whether the service may receive more: its next step is to read, and no output is pending.
    pub(in crate::server) fn can_receive_more(&self) -> bool {
        self.next_step == NextStep::Read
            && self.pipe.pending.is_none()
            && self.pipe.failure.is_none()
    }

    /// Discards the collected bytes, because they must not be sent any more.
    pub(in crate::server) fn discard(self) {
        self.buffered.clear();
    }

    /// Ends the call and sends the collected bytes. Returns the next step, or why the connection
    /// must be closed.
    pub(in crate::server) fn finish(mut self) -> Result<NextStep, OutletFailure> {
        self.flush();
        self.pipe.failure.map_or(Ok(self.next_step), Err)
    }

    fn flush(&mut self) {
        if !self.buffered.is_empty() {
            self.pipe.send(self.buffered);
            self.buffered.clear();
        }
    }
}

impl Pipe<'_> {
    /// Sends while no output is pending, and keeps what the socket does not take.
    fn send(&mut self, bytes: &[u8]) {
        match send(self.socket, bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                if sent < bytes.len() {
                    self.queue(&bytes[sent..]);
                }
            }
            Err(_) => self.failure = Some(OutletFailure::Broken),
        }
    }

    #[cold]
    fn queue(&mut self, bytes: &[u8]) {
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

/// Sends as much as the socket takes; this may be nothing.
fn send(mut socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if would_block(&error) => Ok(0),
        result => result,
    }
}
