//! A stream of bytes on a socket: reading, writing, half-close and abort, each one system call.
//!
//! What stands above needs to know neither the kind of the socket nor what is between it and the
//! bytes. Today nothing is: the bytes are the socket's own.
//!
//! `recv(2)` and `send(2)` are made by rustix, which needs no C library for them. There they are
//! cancellation points, which cost more instructions than all else between an event and its read.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::Socket;

use crate::buffer::Buffer;
use crate::event::Interest;

/// A stream of bytes on a non-blocking socket, which it owns.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
}

impl Transport {
    /// A stream on a socket that does not block already.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self { socket: socket.into().into() }
    }

    /// What to wait for when a read would block.
    pub(crate) fn read_waits_for(&self) -> Interest {
        Interest::READ
    }

    /// What to wait for when a write would block.
    pub(crate) fn write_waits_for(&self) -> Interest {
        Interest::WRITE
    }

    /// Reads up to `max` bytes to the end of `into`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of `readv(2)`; see [`would_block`].
    pub(crate) fn read_to(&self, into: &mut Buffer, max: usize) -> io::Result<usize> {
        into.read_from(&self.socket, max)
    }

    /// Writes up to `max` bytes from the front of `from`, and removes those that the socket took;
    /// returns how many.
    ///
    /// # Errors
    ///
    /// Those of `writev(2)` and `sendfile(2)`; see [`would_block`].
    pub(crate) fn write_from(&self, from: &mut Buffer, max: usize) -> io::Result<usize> {
        from.write_to(&self.socket, max)
    }

    /// Ends the stream to the peer, which can go on sending (`shutdown(2)` with `SHUT_WR`).
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is over, or has not begun.
    pub(crate) fn end_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// The socket, which stays open.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket.into()
    }
}

/// What only the server uses.
#[cfg(feature = "server")]
impl Transport {
    /// Reads into `into`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`; see [`would_block`].
    #[inline(always)]
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let (_, length) = rustix::net::recv(&self.socket, into, rustix::net::RecvFlags::empty())?;
        Ok(length)
    }

    /// Writes from `bytes`; returns how many the socket took.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`; see [`would_block`].
    #[inline(always)]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    /// Makes the close a reset (`SO_LINGER` of 0): an orderly end would claim that the peer got
    /// everything.
    pub(crate) fn reset_on_close(&self) {
        // If the connection is broken already, the peer needs no reset.
        let _ = self.socket.set_linger(Some(std::time::Duration::ZERO));
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Whether a call on a non-blocking socket must be made again, once the event base reports the
/// socket as ready (`EAGAIN`), or at once (`EINTR`). Level-triggered readiness covers both.
pub(crate) fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
