//! One direction of a connection: its messages one after the other, and the position in them.

use super::frame::Frame;
use super::framing::{Direction, HeadBuffer, Outline};
use super::payload::{Cursor, SLICE_BYTES_MAX};
use super::traffic::Traffic;

/// A position in the requests or in the replies of a connection.
///
/// At the end of a message it is still in that message. It enters the next one with the next call
/// of [`Self::enter`] or [`Self::advance`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    direction: Direction,
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

/// The messages that begin or end between two positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Messages whose first byte lies between them.
    pub(super) begun: usize,
    /// Messages whose last byte lies between them.
    pub(super) ended: usize,
}

impl Stream {
    /// The beginning of a direction of connection number `connection`.
    pub(super) fn new(traffic: &Traffic, direction: Direction, connection: u32) -> Self {
        let mut stream = Self {
            direction,
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

    /// The number of the message that the next byte belongs to, and its offset in the message.
    pub(super) fn next_byte(&self) -> (u64, u64) {
        if self.is_at_end() { (self.number + 1, 0) } else { (self.number, self.offset) }
    }

    /// The current message. Its head is in `buffer` if it is generated.
    pub(super) fn frame<'a>(&self, traffic: &'a Traffic, buffer: &'a mut HeadBuffer) -> Frame<'a> {
        let key = traffic.payload.key_at(self.start);
        let outline = Outline { connection: self.connection, size: self.size, key };
        traffic.framing.frame(self.direction, outline, buffer)
    }

    /// The number of the current message.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Size of its payload.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a begun message behind the position.
    pub(super) fn rest(&self) -> u64 {
        if self.is_inside() { self.bytes - self.offset } else { 0 }
    }

    /// Where the payload of the message begins, and the offset of the position in the message.
    pub(super) fn position(&self) -> (Cursor, u64) {
        (self.start, self.offset)
    }

    /// Enters the next message if the position is the end of one.
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

    /// Moves to the end of the message at whose end the other direction, `other`, is. If `other`
    /// has begun no message, this direction stays at its beginning.
    pub(super) fn follow(&mut self, other: &Self) {
        if other.offset > 0 {
            *self = Self { direction: self.direction, ..*other };
        }
    }

    /// The rest of a begun message and `new` further ones, as one slice of the payload. Only raw
    /// messages are one slice. It has at most [`SLICE_BYTES_MAX`] bytes.
    pub(super) fn payload_slice<'a>(&self, traffic: &'a Traffic, new: usize) -> &'a [u8] {
        let mut ahead = *self;
        ahead.skip_rest();
        let mut bytes = self.rest();
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

    /// The same bytes for any protocol, assembled in `out`.
    pub(super) fn assemble(&self, traffic: &Traffic, new: usize, out: &mut Vec<u8>) {
        out.clear();
        let mut ahead = *self;
        ahead.append(traffic, new, out);
    }

    /// Appends the rest of a begun message and `new` further ones to `out`, until it has
    /// [`SLICE_BYTES_MAX`] bytes. Moves to the end of the last of them.
    pub(super) fn append(&mut self, traffic: &Traffic, new: usize, out: &mut Vec<u8>) {
        let mut messages = new + usize::from(self.is_inside());
        while messages > 0 && out.len() < SLICE_BYTES_MAX {
            self.enter(traffic);
            let mut buffer = HeadBuffer::default();
            let frame = self.frame(traffic, &mut buffer);
            frame.append(self.offset, &traffic.payload, self.start, out, SLICE_BYTES_MAX);
            self.offset = self.bytes;
            messages -= 1;
        }
    }

    /// Ends the message at this position: its own bytes state its length.
    pub(super) fn end_here(&mut self) {
        self.bytes = self.offset;
    }

    fn is_at_end(&self) -> bool {
        self.offset == self.bytes
    }

    fn measure(&mut self, traffic: &Traffic) {
        self.size = traffic.sizes.size_of(self.sizes_key, self.number);
        self.bytes = self.frame(traffic, &mut HeadBuffer::default()).bytes();
    }
}
