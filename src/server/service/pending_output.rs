//! The output of a connection: what its socket does not take is pending, up to a limit.

use crate::server::memory::{BufferLimits, HeldBuffer, NoMemory};
use crate::tls::TlsError;
use crate::transport::{Transport, would_block};

/// The output side of a connection during a call.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) transport: &'a Transport,
    /// Output that is already pending.
    pub(super) pending: &'a mut Option<Box<HeldBuffer>>,
    pub(super) limits: &'a BufferLimits,
    /// How many bytes may be sent now, by the byte rates.
    pub(super) allowed: usize,
    pub(super) bytes_out: &'a mut u64,
    pub(super) failure: Option<OutputFailure>,
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum OutputFailure {
    /// A call on its socket failed.
    Broken,
    /// Its peer has broken TLS, so nothing can be sent any more.
    Tls,
    /// The pending output exceeds its limit.
    TooLarge,
    /// There is no memory for the pending output.
    NoMemory,
}

impl Output<'_> {
    /// Sends while no output is pending, and keeps what the socket does not take, or may not get
    /// now.
    #[inline(always)]
    pub(super) fn send(&mut self, bytes: &[u8]) {
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
                if sent < bytes.len() {
                    self.queue(&bytes[sent..]);
                }
            }
            Err(error) if would_block(&error) => self.queue(bytes),
            Err(_) => self.failure = Some(OutputFailure::Broken),
        }
    }

    /// As [`send`](Self::send) by TLS, which may have taken bytes that the socket has not.
    #[inline(never)] // so that a plain send stays short
    fn send_encrypted(&mut self, bytes: &[u8]) {
        match self.transport.write(bytes) {
            Ok(sent) => {
                *self.bytes_out += sent as u64;
                self.allowed -= sent;
                if sent < bytes.len() || self.transport.unsent() > 0 {
                    self.queue(&bytes[sent..]);
                }
            }
            Err(error) if would_block(&error) => self.queue(bytes),
            Err(error) => {
                let is_tls = TlsError::inside(&error).is_some();
                let failure = if is_tls { OutputFailure::Tls } else { OutputFailure::Broken };
                self.failure = Some(failure);
            }
        }
    }

    /// Sends what may be sent now, and keeps the other bytes.
    #[cold]
    fn send_in_part(&mut self, bytes: &[u8]) {
        let (now, later) = bytes.split_at(self.allowed);
        if !now.is_empty() {
            self.send(now);
        }
        self.queue(later);
    }

    /// Adds to the pending output, unless that would exceed its limit.
    #[cold]
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let memory = &self.limits.memory;
        let pending = self.pending.get_or_insert_with(|| Box::new(HeldBuffer::new(memory)));
        if pending.len() + bytes.len() > self.limits.connection_bytes {
            self.failure = Some(OutputFailure::TooLarge);
        } else if pending.append(bytes) == Err(NoMemory) {
            self.failure = Some(OutputFailure::NoMemory);
        }
    }
}
