//! One connection of the echo service: bytes in, the same bytes out, complete flow control.
//!
//! What a slow reader did not take is kept, and nothing more is read until it is gone. So
//! a connection holds at most one read's worth of bytes, and an idle one holds none.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::report::Traffic;
use crate::event::EventId;

/// Full reads of one connection per turn; others must not wait behind a flood.
const READS_PER_TURN_MAX: usize = 4;

/// What a connection waits for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// For the peer to send.
    Idle,
    /// For the peer to read what it was sent.
    Blocked,
    /// For nothing: the peer sent its end of stream, and everything before it was sent back.
    Finished,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Pending while the connection reads.
    pub(super) readable: EventId,
    /// Exists while it is blocked.
    pub(super) writable: Option<EventId>,
    rest: Option<Box<Rest>>,
    /// Whether bytes moved since the drain last looked.
    pub(super) moved: bool,
}

/// Bytes read and not yet sent.
#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    sent: usize,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, readable: EventId) -> Self {
        Self { socket, readable, writable: None, rest: None, moved: false }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether everything read was sent.
    pub(super) fn is_even(&self) -> bool {
        self.rest.is_none()
    }

    /// Reads what there is through `buffer` and sends it back.
    ///
    /// # Errors
    ///
    /// What `recv(2)` and `send(2)` say of a broken connection.
    pub(super) fn echo(
        &mut self,
        buffer: &mut [u8],
        traffic: &mut Traffic,
    ) -> io::Result<Progress> {
        debug_assert!(self.rest.is_none(), "a blocked connection does not read");
        for _ in 0..READS_PER_TURN_MAX {
            let length = match self.socket.read(buffer) {
                Ok(0) => return Ok(Progress::Finished),
                Ok(length) => length,
                Err(error) if would_wait(&error) => break,
                Err(error) => return Err(error),
            };
            self.moved = true;
            traffic.reads += 1;
            traffic.bytes += length as u64;
            let sent = send(&self.socket, &buffer[..length])?;
            if sent < length {
                let bytes = buffer[sent..length].to_vec();
                self.rest = Some(Box::new(Rest { bytes, sent: 0 }));
                return Ok(Progress::Blocked);
            }
            // A short read emptied the socket: another would only be told so.
            if length < buffer.len() {
                break;
            }
        }
        Ok(Progress::Idle)
    }

    /// Sends more of what a slow reader left; whether that was all of it.
    ///
    /// # Errors
    ///
    /// What `send(2)` says of a broken connection.
    pub(super) fn send_rest(&mut self) -> io::Result<bool> {
        let Some(rest) = &mut self.rest else { return Ok(true) };
        let sent = send(&self.socket, &rest.bytes[rest.sent..])?;
        self.moved |= sent > 0;
        rest.sent += sent;
        let all = rest.sent == rest.bytes.len();
        if all {
            self.rest = None;
        }
        Ok(all)
    }

    /// Has the connection end in a reset when it is closed: an orderly end would tell the peer that
    /// it got everything.
    pub(super) fn reset_on_close(&self) {
        // Of a connection that is broken already nobody needs to be told.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

/// Sends as much as the socket takes, perhaps nothing.
fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if would_wait(&error) => Ok(0),
        result => result,
    }
}

/// Not now; the event base calls again when it makes sense.
fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
