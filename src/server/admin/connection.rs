//! One connection of the admin: a request, a response, then the close.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use socket2::Socket;

use super::request::{HEAD_BYTES_MAX, Head, parse};
use crate::event::EventId;
use crate::transport::would_block;

/// Reads that are discarded per turn after the response.
const DISCARDS_PER_TURN_MAX: usize = 16;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its request is not complete.
    Reading,
    /// The threads were asked, under this number.
    Collecting(u64),
    /// The program was asked to reload its configuration, under this number.
    Reloading(u64),
    /// Its response is being written.
    Writing,
    /// It was answered. Further input is discarded until the client closes. If the socket were
    /// closed with unread bytes, the kernel would reset it, and the client might lose the response.
    Closing,
}

/// The events of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionEvents {
    pub(super) readable: EventId,
    pub(super) writable: EventId,
    pub(super) deadline: EventId,
}

#[derive(Debug)]
pub(super) struct AdminConnection {
    pub(super) socket: Socket,
    pub(super) events: ConnectionEvents,
    pub(super) phase: Phase,
    pub(super) accepted_at: Instant,
    head: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
}

impl AdminConnection {
    pub(super) fn new(socket: Socket, events: ConnectionEvents, accepted_at: Instant) -> Self {
        let (head, answer) = (Vec::new(), Vec::new());
        Self { socket, events, phase: Phase::Reading, accepted_at, head, answer, written: 0 }
    }

    /// Reads once, and parses the request if it is complete.
    ///
    /// # Errors
    ///
    /// The connection failed, or ended before its request was complete.
    pub(super) fn read_head(&mut self) -> io::Result<Head> {
        let mut buffer = [0; HEAD_BYTES_MAX];
        let room = HEAD_BYTES_MAX - self.head.len();
        match self.socket.read(&mut buffer[..room]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.head.extend(&buffer[..n]);
                Ok(parse(&self.head))
            }
            Err(error) if would_block(&error) => Ok(Head::Partial),
            Err(error) => Err(error),
        }
    }

    /// Sets the response to write.
    pub(super) fn set_answer(&mut self, answer: Vec<u8>) {
        self.phase = Phase::Writing;
        self.answer = answer;
    }

    /// Writes what the kernel takes; returns whether that was all.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        while self.written < self.answer.len() {
            match self.socket.write(&self.answer[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Shuts down writing, which ends the response.
    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        self.phase = Phase::Closing;
        self.socket.shutdown(Shutdown::Write)
    }

    /// Discards input; returns whether more may come.
    pub(super) fn discard(&mut self) -> io::Result<bool> {
        let mut buffer = [0; HEAD_BYTES_MAX];
        for _ in 0..DISCARDS_PER_TURN_MAX {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
