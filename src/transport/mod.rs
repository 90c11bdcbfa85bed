//! A stream of bytes on a socket: reading, writing, half-close and abort, each one system call.
//!
//! What stands above needs to know neither the kind of the socket nor what is between it and the
//! bytes: nothing, or TLS. With TLS one call may be several system calls, or none.
//!
//! `recv(2)` and `send(2)` are made by rustix, which needs no C library for them. There they are
//! cancellation points, which cost more instructions than all else between an event and its read.

#[cfg(all(test, feature = "tls", feature = "server", not(loom)))]
mod tests;
#[cfg(feature = "tls")]
mod tls_stream;

#[cfg(feature = "tls")]
use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::Socket;

use crate::buffer::Buffer;
use crate::event::Interest;
#[cfg(feature = "tls")]
use crate::tls::TlsFacts;
#[cfg(feature = "tls")]
use tls_stream::TlsStream;

/// A stream of bytes on a non-blocking socket, which it owns.
pub(crate) struct Transport {
    socket: Socket,
    /// What is between the bytes and the socket. In a cell, because a service sees the socket while
    /// its output is written.
    #[cfg(feature = "tls")]
    tls: Option<Box<RefCell<TlsStream>>>,
}

impl Transport {
    /// A stream on a socket that does not block already.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self {
            socket: socket.into().into(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// What to wait for when a read would block. A handshake also waits to write: see
    /// [`unsent`](Self::unsent).
    pub(crate) fn read_waits_for(&self) -> Interest {
        Interest::READ
    }

    /// What to wait for when a write would block.
    pub(crate) fn write_waits_for(&self) -> Interest {
        Interest::WRITE
    }

    /// Whether it has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Whether a read returns at once although the socket may not be readable: decrypted bytes wait
    /// here, or the stream has ended. Who reads less than there is must go on by itself.
    #[inline]
    pub(crate) fn has_received(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.borrow().has_received();
        }
        false
    }

    /// How many bytes were written that the socket has not taken, as it has them: encrypted. They
    /// are sent by the next [`write_from`](Self::write_from), also of nothing.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.borrow().unsent();
        }
        0
    }

    /// Reads up to `max` bytes to the end of `into`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of `readv(2)`; see [`would_block`]. With TLS also `UnexpectedEof` if the stream was
    /// truncated, and `InvalidData`.
    pub(crate) fn read_to(&self, into: &mut Buffer, max: usize) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().read_to(&self.socket, into, max);
        }
        into.read_from(&self.socket, max)
    }

    /// Writes up to `max` bytes from the front of `from`, and removes those that the socket or TLS
    /// took; returns how many.
    ///
    /// # Errors
    ///
    /// Those of `writev(2)` and `sendfile(2)`; see [`would_block`].
    pub(crate) fn write_from(&self, from: &mut Buffer, max: usize) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().write_from(&self.socket, from, max);
        }
        from.write_to(&self.socket, max)
    }

    /// Ends the stream to the peer, which can go on sending (`shutdown(2)` with `SHUT_WR`). With
    /// TLS it sends close_notify first. That may wait in [`unsent`](Self::unsent).
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is over, or has not begun.
    pub(crate) fn end_write(&self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().end_write(&self.socket);
        }
        self.socket.shutdown(Shutdown::Write)
    }

    /// The socket, which stays open.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket.into()
    }
}

/// TLS.
#[cfg(feature = "tls")]
impl Transport {
    /// Begins TLS, of which [`handshake`](Self::handshake) is the first part. `first` is sent
    /// before it, as it is. `requested` is the host name that a client asks for.
    pub(crate) fn start_tls(
        &mut self,
        connection: rustls::Connection,
        requested: Option<String>,
        first: Buffer,
    ) {
        let stream = TlsStream::new(connection, requested, first);
        self.tls = Some(Box::new(RefCell::new(stream)));
    }

    /// Goes on with the handshake; whether it is done. If it is not, it waits to read, and also to
    /// write while something is [`unsent`](Self::unsent).
    ///
    /// # Errors
    ///
    /// Those of the socket, and a [`TlsError`](crate::tls::TlsError) inside.
    pub(crate) fn handshake(&self) -> io::Result<bool> {
        self.tls.as_ref().map_or(Ok(true), |tls| tls.borrow_mut().handshake(&self.socket))
    }

    /// What the handshake agreed on, once it is done.
    pub(crate) fn tls_facts(&self) -> Option<TlsFacts> {
        self.tls.as_ref()?.borrow().facts()
    }
}

/// What only the server uses.
#[cfg(feature = "server")]
impl Transport {
    /// Reads into `into`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`; see [`would_block`]. With TLS those of [`read_to`](Self::read_to).
    #[inline]
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.borrow_mut().read(&self.socket, into),
            None => self.read_plain(into),
        }
    }

    /// The same, for a caller that knows that there is no TLS.
    #[inline(always)]
    pub(crate) fn read_plain(&self, into: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!self.is_tls());
        let (_, length) = rustix::net::recv(&self.socket, into, rustix::net::RecvFlags::empty())?;
        Ok(length)
    }

    /// Writes from `bytes`; returns how many the socket or TLS took.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`; see [`would_block`].
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.borrow_mut().write(&self.socket, bytes),
            None => self.write_plain(bytes),
        }
    }

    /// The same, for a caller that knows that there is no TLS.
    #[inline(always)]
    pub(crate) fn write_plain(&self, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.is_tls());
        Ok(rustix::net::send(&self.socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    /// Takes bytes of the peer that were read from the socket before TLS began, but belong to it.
    pub(crate) fn take_early(&self, bytes: &[u8]) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().take_early(bytes);
        }
    }

    /// The memory of the bytes that wait in TLS, in bytes; not that of its state.
    pub(crate) fn waiting_memory(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.borrow().waiting_memory())
    }

    /// Whether the peer has sent anything since TLS began.
    pub(crate) fn has_peer_begun_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().has_peer_begun())
    }

    /// Whether the handshake resumed a session.
    pub(crate) fn is_tls_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().is_resumed())
    }

    /// Sends close_notify if there is TLS: the peer then knows that it has the whole stream. It may
    /// wait in [`unsent`](Self::unsent).
    pub(crate) fn send_close_notify(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().send_close_notify(&self.socket);
        }
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

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("socket", &self.socket).finish_non_exhaustive()
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
