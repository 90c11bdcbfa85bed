//! One TLS stream over a socket that does not wait.

use std::io::{self, Read, Write};

use rustls::{ClientConnection, HandshakeKind, IoState, ProtocolVersion};

use super::failure::HandshakeFailure;
use super::negotiated::Negotiated;
use super::transport::is_transient;

/// Bytes that are read from the socket at once. What is decrypted from them, and from the record
/// that they complete, fits into the rest of the buffer.
const CIPHERTEXT_BYTES_MAX: usize = 48 * 1024;

/// The longest record that can be incomplete before a read.
const RECORD_BYTES_MAX: usize = 17 * 1024;

/// A TLS stream, from the beginning of its handshake.
#[derive(Debug)]
pub(crate) struct TlsStream<S> {
    socket: S,
    client: ClientConnection,
    /// Whether bytes of the stream came with the last bytes of the handshake.
    has_plaintext: bool,
    /// Whether the server has announced the end of the stream.
    has_ended: bool,
}

impl<S> TlsStream<S> {
    pub(super) fn new(socket: S, client: ClientConnection) -> Self {
        Self { socket, client, has_plaintext: false, has_ended: false }
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether bytes that it has taken wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.client.wants_write()
    }

    /// Whether a read returns bytes, or the end of the stream, without reading the socket.
    pub(super) fn has_received(&self) -> bool {
        self.has_plaintext || self.has_ended
    }
}

impl<S: Read + Write> TlsStream<S> {
    /// Continues the handshake as far as the socket allows, with `buffer` as memory. Returns what
    /// it agreed on when it has ended and all its bytes are sent.
    pub(crate) fn handshake(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Negotiated>, HandshakeFailure> {
        if let Err(error) = self.flush() {
            return Err(self.reason(error, buffer));
        }
        if self.client.is_handshaking() {
            match self.socket.read(&mut buffer[..CIPHERTEXT_BYTES_MAX]) {
                Ok(0) => return Err(HandshakeFailure::closed()),
                Ok(count) => self.take_handshake_bytes(&buffer[..count])?,
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if let Err(error) = self.flush() {
                return Err(self.reason(error, buffer));
            }
        }
        let is_done = !self.client.is_handshaking() && !self.client.wants_write();
        if is_done && self.has_ended {
            return Err(HandshakeFailure::closed());
        }
        Ok(is_done.then(|| self.negotiated()))
    }

    /// Why the server did not take what was sent: it may have sent an alert before it closed.
    fn reason(&mut self, error: io::Error, buffer: &mut [u8]) -> HandshakeFailure {
        let alert = match self.socket.read(buffer) {
            Ok(count @ 1..) => self.take_handshake_bytes(&buffer[..count]).err(),
            _ => None,
        };
        alert.unwrap_or(error).into()
    }

    fn take_handshake_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let state = self.take(&mut bytes)?;
            self.has_plaintext = state.plaintext_bytes_to_read() > 0;
            self.has_ended = state.peer_has_closed();
        }
        Ok(())
    }

    fn negotiated(&self) -> Negotiated {
        let suite = self.client.negotiated_cipher_suite();
        let name = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        let alpn = self.client.alpn_protocol();
        Negotiated {
            version: match self.client.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            },
            // The library's names of the suites of TLS 1.3 begin with TLS13.
            cipher_suite: name.replace("TLS13_", "TLS_"),
            alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
            is_resumed: self.client.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Reads the socket once and decrypts what has come. `buffer` has room for
    /// [`CIPHERTEXT_BYTES_MAX`] twice, and for a record.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_received() {
            self.has_plaintext = false;
            return self.client.reader().read(buffer);
        }
        let (plaintext, ciphertext) = buffer.split_at_mut(buffer.len() - CIPHERTEXT_BYTES_MAX);
        debug_assert!(plaintext.len() >= CIPHERTEXT_BYTES_MAX + RECORD_BYTES_MAX);
        let count = self.socket.read(ciphertext)?;
        self.decrypt(&ciphertext[..count], plaintext)
    }

    /// Decrypts bytes of the socket; no bytes are its end.
    fn decrypt(&mut self, mut bytes: &[u8], plaintext: &mut [u8]) -> io::Result<usize> {
        let mut decrypted = 0;
        loop {
            let state = self.take(&mut bytes)?;
            if state.plaintext_bytes_to_read() > 0 {
                decrypted += self.client.reader().read(&mut plaintext[decrypted..])?;
            }
            self.has_ended = state.peer_has_closed();
            if bytes.is_empty() || self.has_ended {
                break;
            }
        }
        // Without a byte it says whether the end was announced, or that there is none.
        if decrypted > 0 { Ok(decrypted) } else { self.client.reader().read(plaintext) }
    }

    /// Takes some bytes of the socket.
    fn take(&mut self, bytes: &mut &[u8]) -> io::Result<IoState> {
        self.client.read_tls(bytes)?;
        self.client.process_new_packets().map_err(|error| {
            // The alert that states the reason; the server may have closed already.
            let _ = self.flush();
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Takes some of the bytes, unless the socket has not taken those before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.has_unsent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.client.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Sends what it has taken, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.client.wants_write() {
            match self.client.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Announces the end of the stream. A server that does not take it has closed before.
    pub(super) fn end(&mut self) {
        self.client.send_close_notify();
        let _ = self.flush();
    }
}
