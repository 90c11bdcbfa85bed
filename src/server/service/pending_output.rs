//! The output of a connection: what its socket does not take is pending, up to a limit.

use std::io;

use crate::server::memory::{BufferLimits, HeldBytes, NoMemory};
use crate::transport::{Transport, would_block};

/// Output that the socket has not taken yet.
#[derive(Debug)]
pub(in crate::server) struct PendingOutput {
    bytes: HeldBytes,
    sent: usize,
}

impl PendingOutput {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Its memory in bytes.
    pub(in crate::server) fn memory(&self) -> usize {
        self.bytes.memory()
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        // Reuse the space of sent bytes before growing.
        if self.sent > 0 && !self.bytes.has_room_for(bytes.len()) {
            self.bytes.consume(self.sent);
            self.sent = 0;
        }
        self.bytes.append(bytes)
    }

    /// Sends more; returns how many bytes the socket took.
    pub(in crate::server) fn send(&mut self, transport: &Transport) -> io::Result<usize> {
        let sent = send(transport, &self.bytes[self.sent..])?;
        self.sent += sent;
        Ok(sent)
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The output side of a connection during a call.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) transport: &'a Transport,
    /// Output that is already pending.
    pub(super) pending: &'a mut Option<Box<PendingOutput>>,
    pub(super) limits: &'a BufferLimits,
    pub(super) bytes_out: &'a mut u64,
    pub(super) failure: Option<OutputFailure>,
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum OutputFailure {
    /// A call on its socket failed.
    Broken,
    /// The pending output exceeds its limit.
    TooLarge,
    /// There is no memory for the pending output.
    NoMemory,
}

impl Output<'_> {
    /// Sends while no output is pending, and keeps what the socket does not take.
    #[inline(always)]
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match send(self.transport, bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                if sent < bytes.len() {
                    self.queue(&bytes[sent..]);
                }
            }
            Err(_) => self.failure = Some(OutputFailure::Broken),
        }
    }

    /// Adds to the pending output, unless that would exceed its limit.
    #[cold]
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let pending = self.pending.get_or_insert_with(|| {
            Box::new(PendingOutput { bytes: HeldBytes::new(&self.limits.memory), sent: 0 })
        });
        if pending.len() + bytes.len() > self.limits.connection_bytes {
            self.failure = Some(OutputFailure::TooLarge);
        } else if pending.push(bytes) == Err(NoMemory) {
            self.failure = Some(OutputFailure::NoMemory);
        }
    }
}

/// Sends as much as the socket takes; this may be nothing.
#[inline(always)]
fn send(transport: &Transport, bytes: &[u8]) -> io::Result<usize> {
    match transport.write(bytes) {
        Err(error) if would_block(&error) => Ok(0),
        result => result,
    }
}
