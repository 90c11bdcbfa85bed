//! TLS on a socket: what arrives is decrypted, and what is sent is encrypted.
//!
//! One read of the socket may bring more than its caller wants. What is left waits here, and the
//! readiness of the socket does not show it: [`TlsStream::has_received`] does. Likewise the socket
//! may take less than was encrypted. What is left waits here, and is counted by
//! [`TlsStream::unsent`].
//!
//! At rest a stream holds no bytes, and rustls 4 KiB. rustls has an interface without buffers, but
//! it does not name the host that a client asked for, and its next version lacks it.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::Shutdown;

use rustls::Connection;
use socket2::Socket;

use super::would_block;
use crate::buffer::Buffer;
use crate::tls::{TlsError, TlsFacts};

/// The most bytes that one call reads from the socket, and so the most that wait to be read.
const RECEIVE_MAX: usize = 64 << 10;

/// The most bytes that are encrypted before the socket has taken them.
const ENCRYPT_MAX: usize = 64 << 10;

/// How many slices of a buffer are encrypted at once. More records cost more than a copy.
const SLICES_MAX: usize = 64;

thread_local! {
    /// What a read of a socket fills. Nothing of it is kept after the read.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TLS connection on a socket that its caller has.
pub(super) struct TlsStream {
    connection: Connection,
    /// The host name that a client asked for.
    requested: Option<String>,
    /// Whether the peer has sent anything.
    #[cfg(feature = "server")]
    has_peer_begun: bool,
    /// Decrypted bytes that no one has read.
    received: Buffer,
    /// Bytes that the socket has not taken, in the order of the stream.
    unsent: Buffer,
    /// Why nothing more is received.
    end: Option<End>,
    sending: Sending,
}

/// How the peer's stream ended.
enum End {
    /// By close_notify.
    Closed,
    /// Without it.
    Truncated,
    /// Within the handshake.
    InHandshake,
    /// The peer broke the protocol, or refused ours.
    Failed { error: rustls::Error, in_handshake: bool },
}

/// Whether our stream goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    /// close_notify is on its way. Once it is sent, the socket's stream ends, too.
    Ending,
    Ended,
}

impl TlsStream {
    /// Begins a handshake. `first` is sent before it, as it is.
    pub(super) fn new(connection: Connection, requested: Option<String>, first: Buffer) -> Self {
        Self {
            connection,
            requested,
            #[cfg(feature = "server")]
            has_peer_begun: false,
            received: Buffer::new(),
            unsent: first,
            end: None,
            sending: Sending::Open,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What the handshake agreed on, once it is done.
    pub(super) fn facts(&self) -> Option<TlsFacts> {
        if self.is_handshaking() {
            return None;
        }
        TlsFacts::of(&self.connection, self.requested.as_deref())
    }

    /// Goes on with the handshake; whether it is done.
    pub(super) fn handshake(&mut self, socket: &Socket) -> io::Result<bool> {
        // A peer that went away may have said before why.
        let flushed = self.flush_some(socket);
        if self.is_handshaking() {
            let received = if self.end.is_none() { self.receive(socket) } else { Ok(()) };
            if self.is_handshaking()
                && let Some(end) = &self.end
            {
                return end.result().map(|_| false);
            }
            flushed?;
            match received {
                Err(error) if !would_block(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(!self.is_handshaking())
    }

    /// Whether a read returns at once: there are bytes, or the stream has ended.
    pub(super) fn has_received(&self) -> bool {
        !self.received.is_empty() || self.end.is_some()
    }

    /// How many encrypted bytes the socket has not taken.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    #[inline(never)] // so that plain streams stay short
    pub(super) fn read_to(
        &mut self,
        socket: &Socket,
        into: &mut Buffer,
        max: usize,
    ) -> io::Result<usize> {
        if self.fill(socket)? { Ok(self.received.move_to(into, max)) } else { Ok(0) }
    }

    /// Receives unless bytes wait already; returns whether there are any, and not the end.
    fn fill(&mut self, socket: &Socket) -> io::Result<bool> {
        if !self.has_received() {
            self.expect_done()?;
            self.receive(socket)?;
        }
        match &self.end {
            _ if !self.received.is_empty() => Ok(true),
            Some(end) => end.result(),
            // A part of a record, or something for TLS alone.
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads the socket once, and decrypts what came.
    fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(RECEIVE_MAX, 0);
            let mut from = socket;
            let length = from.read(scratch)?;
            if length == 0 {
                self.end = Some(self.end_of_peer(End::Truncated));
            } else {
                self.decrypt(&scratch[..length]);
                // rustls frees what it does not need once it is to read again.
                let _ = self.connection.read_tls(&mut NothingYet);
            }
            Ok::<(), io::Error>(())
        })?;
        // Answers, and the alert about a failure. If the socket is broken, a later call reports it.
        let _ = self.flush_some(socket);
        Ok(())
    }

    fn end_of_peer(&self, end: End) -> End {
        if self.is_handshaking() { End::InHandshake } else { end }
    }

    /// Decrypts until the end of the bytes, or of the stream.
    fn decrypt(&mut self, mut bytes: &[u8]) {
        #[cfg(feature = "server")]
        {
            self.has_peer_begun = true;
        }
        while !bytes.is_empty() && self.end.is_none() {
            let in_handshake = self.is_handshaking();
            let failed = |error| End::Failed { error, in_handshake };
            // It takes a part of them, because its buffer is small.
            if let Err(error) = self.connection.read_tls(&mut bytes) {
                self.end = Some(failed(rustls::Error::General(error.to_string())));
                return;
            }
            let processed = self.connection.process_new_packets();
            let mut reader = self.connection.reader();
            // It fails if it has nothing.
            while let Ok(plain @ [_, ..]) = reader.fill_buf() {
                self.received.append(plain);
                let length = plain.len();
                reader.consume(length);
            }
            match processed {
                Ok(state) if state.peer_has_closed() => {
                    self.end = Some(self.end_of_peer(End::Closed));
                }
                Ok(_) => {}
                Err(error) => self.end = Some(failed(error)),
            }
        }
    }

    /// Encrypts up to `max` bytes from the front of `from`, and removes them, as long as the socket
    /// takes all of it; returns how many. 0 also if `from` is empty and everything is sent.
    #[inline(never)]
    pub(super) fn write_from(
        &mut self,
        socket: &Socket,
        from: &mut Buffer,
        max: usize,
    ) -> io::Result<usize> {
        self.expect_flushed(socket)?;
        let mut accepted = 0;
        while accepted < max && !from.is_empty() && self.unsent.is_empty() {
            let n = from.load(ENCRYPT_MAX.min(max - accepted))?;
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slot, slice) in slices.iter_mut().zip(from.peek(..n)) {
                *slot = slice;
                count += 1;
            }
            let taken = self.encrypt(socket, &slices[..count])?;
            from.drain(taken);
            accepted += taken;
        }
        Ok(accepted)
    }

    /// Encrypts bytes, and sends them as far as the socket takes them; returns how many were
    /// encrypted, which is at least one.
    fn encrypt(&mut self, socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(End::Failed { error, in_handshake }) = &self.end {
            return Err(TlsError::protocol(error, *in_handshake).into());
        }
        self.expect_done()?;
        if self.sending != Sending::Open {
            return Err(TlsError::Ended.into());
        }
        let taken = self.connection.writer().write_vectored(slices)?;
        self.send_records(socket)?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(taken)
    }

    /// Fails before the handshake is done. rustls would take bytes, but perhaps never send them.
    fn expect_done(&self) -> io::Result<()> {
        if self.is_handshaking() { Err(TlsError::NotConnected.into()) } else { Ok(()) }
    }

    /// Sends close_notify, and ends the stream of the socket after it.
    pub(super) fn end_write(&mut self, socket: &Socket) -> io::Result<()> {
        if self.sending == Sending::Open && !self.has_failed() {
            self.sending = Sending::Ending;
            self.connection.send_close_notify();
        }
        self.flush_some(socket)
    }

    /// Whether the stream ended by an alert.
    fn has_failed(&self) -> bool {
        matches!(self.end, Some(End::Failed { .. }))
    }

    /// Sends what waits; an error if the socket does not take all of it.
    fn expect_flushed(&mut self, socket: &Socket) -> io::Result<()> {
        self.flush_some(socket)?;
        if self.unsent.is_empty() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Sends what waits, as far as the socket takes it.
    fn flush_some(&mut self, socket: &Socket) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.unsent.write_to(socket, usize::MAX) {
                Ok(_) => {}
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.send_records(socket)?;
        if self.sending == Sending::Ending && self.unsent.is_empty() {
            self.sending = Sending::Ended;
            socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Sends the records that rustls has made, and keeps what the socket does not take.
    fn send_records(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Outgoing { socket, unsent: &mut self.unsent })?;
        }
        Ok(())
    }
}

/// What only the server uses.
#[cfg(feature = "server")]
impl TlsStream {
    /// Takes bytes of the peer that were read before TLS began.
    pub(super) fn take_early(&mut self, bytes: &[u8]) {
        self.decrypt(bytes);
    }

    pub(super) fn has_peer_begun(&self) -> bool {
        self.has_peer_begun
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The memory of the bytes that wait here.
    pub(super) fn waiting_memory(&self) -> usize {
        self.received.memory() + self.unsent.memory()
    }

    #[inline(never)]
    pub(super) fn read(&mut self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        if self.fill(socket)? { Ok(self.received.remove(into)) } else { Ok(0) }
    }

    #[inline(never)]
    pub(super) fn write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        self.expect_flushed(socket)?;
        let mut accepted = 0;
        while accepted < bytes.len() && self.unsent.is_empty() {
            accepted += self.encrypt(socket, &[IoSlice::new(&bytes[accepted..])])?;
        }
        Ok(accepted)
    }

    /// Sends close_notify on a socket that is to be closed.
    pub(super) fn send_close_notify(&mut self, socket: &Socket) {
        if self.sending == Sending::Open && !self.has_failed() && !self.is_handshaking() {
            self.sending = Sending::Ended;
            self.connection.send_close_notify();
        }
        // If the socket is broken, the peer needs none.
        let _ = self.flush_some(socket);
    }
}

impl End {
    /// What a read returns at it: false is a proper end.
    fn result(&self) -> io::Result<bool> {
        Err(match self {
            Self::Closed => return Ok(false),
            Self::Truncated => TlsError::Truncated,
            Self::InHandshake => TlsError::ClosedInHandshake,
            Self::Failed { error, in_handshake } => TlsError::protocol(error, *in_handshake),
        }
        .into())
    }
}

/// A stream on which nothing has arrived.
struct NothingYet;

impl Read for NothingYet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Takes all that is written: what the socket does not take is kept.
struct Outgoing<'a> {
    socket: &'a Socket,
    unsent: &'a mut Buffer,
}

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        if self.unsent.is_empty() {
            let mut socket = self.socket;
            sent = match socket.write_vectored(slices) {
                Err(error) if would_block(&error) => 0,
                result => result?,
            };
        }
        for slice in slices {
            let here = sent.min(slice.len());
            self.unsent.append(&slice[here..]);
            sent -= here;
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
