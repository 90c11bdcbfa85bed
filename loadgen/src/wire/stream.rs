//! One direction of a connection: an endless row of messages, and the position in it.

use super::frame::Frame;
use super::framing::{HeadBuffer, Way};
use super::payload::{Cursor, SLICE_BYTES_MAX};
use super::traffic::Traffic;

/// A position in the requests or in the replies of a connection.
///
/// At the end of a message it has not entered the next one yet. It does so with the next call that
/// wants more and passes the traffic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    way: Way,
    connection: u32,
    sizes_key: u64,
    /// The current message, from 0.
    number: u64,
    /// Size of that request's payload.
    size: u64,
    /// Length of that message.
    bytes: u64,
    /// Where that payload begins.
    start: Cursor,
    /// Bytes of the message before the position.
    offset: u64,
}

/// What lies between two positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Messages whose first byte did.
    pub(super) begun: usize,
    /// Messages whose last byte did.
    pub(super) ended: usize,
}

impl Stream {
    /// The beginning of a direction of connection number `connection`.
    pub(super) fn new(traffic: &Traffic, way: Way, connection: u32) -> Self {
        let mut stream = Self {
            way,
            connection,
            sizes_key: traffic.sizes_key(connection),
            number: 0,
            size: 0,
            bytes: 0,
            start: traffic.payload.start(connection),
            offset: 0,
        };
        stream.measure(traffic);
        stream
    }

    /// Whether a message has been begun but not ended.
    pub(super) fn is_inside(&self) -> bool {
        0 < self.offset && self.offset < self.bytes
    }

    /// Which message the next byte belongs to, and which of its bytes it is.
    pub(super) fn next_byte(&self) -> (u64, u64) {
        if self.is_at_end() { (self.number + 1, 0) } else { (self.number, self.offset) }
    }

    /// The message of the next byte, its head in `buffer` if it has to be made.
    pub(super) fn frame<'a>(&self, traffic: &'a Traffic, buffer: &'a mut HeadBuffer) -> Frame<'a> {
        traffic.framing.frame(self.way, self.connection, self.size, buffer)
    }

    /// Where the payload of the message begins, and how far the place is into the message.
    pub(super) fn position(&self) -> (Cursor, u64) {
        (self.start, self.offset)
    }

    /// Enters the next message if the place is the end of one.
    pub(super) fn enter(&mut self, traffic: &Traffic) {
        if self.is_at_end() {
            self.number += 1;
            self.start = self.start.plus(self.size);
            self.offset = 0;
            self.measure(traffic);
        }
    }

    /// Moves on by this number of bytes.
    pub(super) fn advance(&mut self, traffic: &Traffic, bytes: usize) -> Passed {
        let mut left = bytes as u64;
        let mut passed = Passed::default();
        while left > 0 {
            self.enter(traffic);
            let step = left.min(self.bytes - self.offset);
            passed.begun += usize::from(self.offset == 0);
            self.offset += step;
            left -= step;
            passed.ended += usize::from(self.is_at_end());
        }
        passed
    }

    /// Moves to the end of the message, if one has been begun.
    pub(super) fn skip_rest(&mut self) {
        if self.offset > 0 {
            self.offset = self.bytes;
        }
    }

    /// Goes to the end of the message at whose end `other`, the other direction, is. Where that
    /// has not begun any message, this one has not either.
    pub(super) fn follow(&mut self, other: &Self) {
        if other.offset > 0 {
            *self = Self { way: self.way, ..*other };
        }
    }

    /// The rest of the message, if one has been begun, and `new` further ones, as one slice of the
    /// payload: of bare messages only. At most [`SLICE_BYTES_MAX`] bytes.
    pub(super) fn bare<'a>(&self, traffic: &'a Traffic, new: usize) -> &'a [u8] {
        let mut ahead = *self;
        ahead.skip_rest();
        let mut bytes = if self.is_inside() { self.bytes - self.offset } else { 0 };
        for _ in 0..new {
            if bytes >= SLICE_BYTES_MAX as u64 {
                break;
            }
            ahead.enter(traffic);
            bytes += ahead.bytes;
            ahead.offset = ahead.bytes;
        }
        traffic.payload.slice(self.start.plus(self.offset), bytes)
    }

    /// The same of any messages, put together in `out`.
    pub(super) fn assemble(&self, traffic: &Traffic, new: usize, out: &mut Vec<u8>) {
        out.clear();
        let mut ahead = *self;
        let mut messages = new + usize::from(self.is_inside());
        while messages > 0 && out.len() < SLICE_BYTES_MAX {
            ahead.enter(traffic);
            let mut buffer = HeadBuffer::default();
            let frame = ahead.frame(traffic, &mut buffer);
            frame.append(ahead.offset, &traffic.payload, ahead.start, out, SLICE_BYTES_MAX);
            ahead.offset = ahead.bytes;
            messages -= 1;
        }
    }

    /// Ends the message here, as its own bytes have said.
    pub(super) fn end_here(&mut self) {
        self.bytes = self.offset;
    }

    fn is_at_end(&self) -> bool {
        self.offset == self.bytes
    }

    fn measure(&mut self, traffic: &Traffic) {
        self.size = traffic.sizes.size_of(self.sizes_key, self.number);
        let is_unknown = self.way == Way::Reply && traffic.framing.is_http();
        self.bytes = match is_unknown {
            // Until its end has come.
            true => u64::MAX,
            false => self.frame(traffic, &mut HeadBuffer::default()).bytes(),
        };
    }
}
