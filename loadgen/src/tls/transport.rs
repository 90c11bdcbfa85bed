//! A stream of bytes to the server, plain or TLS.

use std::io::{self, Read, Write};

use super::stream::TlsStream;

/// A stream that requests can be sent on.
#[derive(Debug)]
pub(crate) enum Transport<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: Read + Write> Transport<S> {
    /// The socket below.
    pub(crate) fn socket(&self) -> &S {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Reads once. `Ok(0)` is the end that the server intended; over TLS, an end that it did not
    /// announce is an error of the kind [`io::ErrorKind::UnexpectedEof`].
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Takes some of the bytes, and sends them as far as the socket takes them: see
    /// [`Self::has_unsent`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Whether bytes that it has taken wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_unsent(),
        }
    }

    /// Sends what it has taken, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// Whether a read has a result although the socket may not be readable.
    pub(crate) fn has_received(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_received(),
        }
    }

    /// Announces the end of the stream. The socket is closed when it is dropped.
    pub(crate) fn end(&mut self) {
        if let Self::Tls(stream) = self {
            stream.end();
        }
    }
}

/// Whether the operation should be repeated when the socket is ready.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
