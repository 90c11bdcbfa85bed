//! The outlet: what a service may do with its connection during a call.
//!
//! Small writes are collected in a buffer of the shard and sent in one call after the service
//! returned. A large write is sent at once, without a copy. What the socket does not take is
//! pending (`pending_output.rs`).

use std::time::Duration;

use super::pending_output::{Output, OutputFailure};
use crate::server::memory::{BufferLimits, HeldBuffer};
use crate::transport::Transport;

/// From this size on a write is sent directly: a copy would cost more than a saved call.
const DIRECT_BYTES_MIN: usize = 4096;
/// At most so many bytes are collected.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;

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
    output: Output<'a>,
    /// The shard's buffer, empty before and after a call. Nothing is collected while output is
    /// pending.
    buffered: &'a mut Vec<u8>,
    pub(in crate::server) next_step: NextStep,
}

impl<'a> Outlet<'a> {
    /// Creates the outlet of one call, which sends at most `allowed` bytes at once; `buffered` is
    /// empty.
    pub(in crate::server) fn new(
        transport: &'a Transport,
        buffered: &'a mut Vec<u8>,
        pending: &'a mut Option<Box<HeldBuffer>>,
        limits: &'a BufferLimits,
        allowed: usize,
        bytes_out: &'a mut u64,
    ) -> Self {
        let output = Output { transport, pending, limits, allowed, bytes_out, failure: None };
        Self { output, buffered, next_step: NextStep::default() }
    }

    /// Sends bytes, in the order of the calls. While the peer does not read, they are kept. If they
    /// exceed [`Limits::buffer_bytes`](crate::server::Limits::buffer_bytes), the connection is
    /// reset; see [`room`](Self::room).
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) {
        let fits = self.buffered.len() + bytes.len() <= BUFFERED_BYTES_MAX;
        if fits && bytes.len() < DIRECT_BYTES_MIN && self.output.pending.is_none() {
            // As nearly always.
            self.buffered.extend_from_slice(bytes);
        } else {
            self.send_much(bytes);
        }
    }

    fn send_much(&mut self, bytes: &[u8]) {
        // The shard keeps the memory of its buffer, so no service may make it large.
        if self.buffered.len() + bytes.len() > BUFFERED_BYTES_MAX {
            self.flush();
        }
        if self.output.pending.is_some() {
            self.output.queue(bytes);
        } else if self.buffered.is_empty() && bytes.len() >= DIRECT_BYTES_MIN {
            self.output.send(bytes);
        } else {
            self.buffered.extend_from_slice(bytes);
        }
    }

    /// How many more bytes fit within the limit.
    #[must_use]
    pub fn room(&self) -> usize {
        let pending =
            self.output.pending.as_ref().map_or(0, |pending| pending.len()) + self.buffered.len();
        self.output.limits.connection_bytes.saturating_sub(pending)
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
            && self.output.pending.is_none()
            && self.output.failure.is_none()
    }

    /// How many bytes the call may still send at once.
    pub(in crate::server) fn allowed(&self) -> usize {
        self.output.allowed
    }

    /// Discards the collected bytes, because they must not be sent any more.
    pub(in crate::server) fn discard(&mut self) {
        self.buffered.clear();
    }

    /// Ends the call and sends the collected bytes. Returns why the connection must be closed, if
    /// it must.
    #[inline]
    pub(in crate::server) fn finish(&mut self) -> Option<OutputFailure> {
        self.flush();
        self.output.failure
    }

    #[inline]
    fn flush(&mut self) {
        if !self.buffered.is_empty() {
            self.output.send(self.buffered);
            self.buffered.clear();
        }
    }
}
