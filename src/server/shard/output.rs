//! The output of a connection: what its socket does not take is pending, up to a limit.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::close_reason::CloseReason;
use crate::server::memory::{BufferLimits, HeldBuffer, NoMemory};
use crate::transport::{Transport, would_block};

/// The output side of a connection.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) transport: &'a Transport,
    /// Output that is already pending.
    pub(super) pending: &'a mut Option<Box<HeldBuffer>>,
    pub(super) limits: &'a BufferLimits,
    /// How many bytes may be sent now, by the byte rates.
    pub(super) allowed: usize,
    pub(super) bytes_out: &'a mut u64,
}

impl Output<'_> {
    /// Sends while no output is pending, and keeps what the socket does not take, or may not get
    /// now. Fails if the connection must be closed.
    #[inline(always)]
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        if bytes.len() > self.allowed {
            return self.send_in_part(bytes);
        }
        if self.transport.is_tls() {
            return self.send_encrypted(bytes);
        }
        match self.transport.write_plain(bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                self.allowed -= sent;
                if sent < bytes.len() { self.queue(&bytes[sent..]) } else { Ok(()) }
            }
            Err(error) if would_block(&error) => self.queue(bytes),
            Err(_) => Err(CloseReason::Broken),
        }
    }

    /// As [`send`](Self::send) by TLS, which may have taken bytes that the socket has not.
    #[inline(never)] // so that a plain send stays short
    fn send_encrypted(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        match self.transport.write(bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                self.allowed -= sent;
                let all = sent == bytes.len() && self.transport.unsent() == 0;
                if all { Ok(()) } else { self.queue(&bytes[sent..]) }
            }
            Err(error) if would_block(&error) => self.queue(bytes),
            Err(error) => Err(CloseReason::of_io(&error)),
        }
    }

    /// Sends shared bytes, and keeps them without a copy if the socket takes nothing now.
    pub(super) fn send_shared(&mut self, bytes: &Arc<[u8]>) -> Result<(), CloseReason> {
        let sends_some = bytes.len() <= self.allowed && !self.transport.is_tls();
        if !sends_some {
            return self.send(bytes);
        }
        match self.transport.write_plain(bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                self.allowed -= sent;
                if sent < bytes.len() { self.queue(&bytes[sent..]) } else { Ok(()) }
            }
            Err(error) if would_block(&error) => self.queue_shared(bytes.clone()),
            Err(_) => Err(CloseReason::Broken),
        }
    }

    /// Sends what may be sent now, and keeps the other bytes.
    #[cold]
    fn send_in_part(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let (now, later) = bytes.split_at(self.allowed);
        if !now.is_empty() {
            self.send(now)?;
        }
        self.queue(later)
    }

    /// Adds to the pending output, unless that would exceed its limit.
    #[cold]
    pub(super) fn queue(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let pending = self.pending_with_room(bytes.len())?;
        pending.append(bytes).map_err(|NoMemory| CloseReason::NoMemory)
    }

    /// As [`queue`](Self::queue), without a copy.
    #[cold]
    pub(super) fn queue_shared(&mut self, bytes: Arc<[u8]>) -> Result<(), CloseReason> {
        let pending = self.pending_with_room(bytes.len())?;
        pending.append_shared(bytes).map_err(|NoMemory| CloseReason::NoMemory)
    }

    /// Adds a range of a file to the pending output. It needs no memory, so it has no limit.
    ///
    /// # Errors
    ///
    /// Those of [`Buffer::append_file`](crate::Buffer::append_file). Nothing is added then.
    pub(super) fn queue_file(&mut self, file: Arc<File>, range: Range<u64>) -> io::Result<()> {
        let mut pending =
            self.pending.take().unwrap_or_else(|| Box::new(HeldBuffer::new(&self.limits.memory)));
        let appended = pending.append_file(file, range);
        *self.pending = (!pending.is_empty()).then_some(pending);
        appended
    }

    /// The pending output, perhaps still empty, if it may have so many more bytes.
    fn pending_with_room(&mut self, bytes: usize) -> Result<&mut HeldBuffer, CloseReason> {
        let memory = &self.limits.memory;
        let pending = self.pending.get_or_insert_with(|| Box::new(HeldBuffer::new(memory)));
        if pending.len_in_memory() + bytes > self.limits.connection_bytes {
            return Err(CloseReason::TooLarge);
        }
        Ok(pending)
    }
}
