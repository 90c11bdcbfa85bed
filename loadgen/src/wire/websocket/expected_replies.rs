//! What a server must echo, and the comparison with it, in place.

use super::super::framing::Direction;
use super::super::mismatch::common_bytes;
use super::super::payload::SLICE_BYTES_MAX;
use super::super::spec::Verify;
use super::super::stream::Stream;
use super::super::traffic::Traffic;
use super::frame_head::{FrameHead, Opcode};

/// The position in the replies of one connection. A reply is its payload: frames may divide it
/// anywhere.
#[derive(Debug)]
pub(super) struct ExpectedReplies {
    stream: Stream,
}

/// Why a frame cannot belong to the reply: the byte of its head, and the words.
pub(super) type Objection = (usize, String);

/// The first byte of a payload that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongByte {
    /// Its offset in the compared bytes.
    pub(super) at: usize,
    /// Its offset in the message.
    pub(super) offset: u64,
    pub(super) expected: Option<u8>,
}

impl ExpectedReplies {
    /// The beginning of connection number `connection`.
    pub(super) fn new(traffic: &Traffic, connection: u32) -> Self {
        Self { stream: Stream::new(traffic, Direction::Reply, connection) }
    }

    /// Moves to the reply of the request at whose beginning `requests` is, on a new connection.
    pub(super) fn restart(&mut self, requests: &Stream) {
        self.stream.follow(requests);
    }

    /// The number of the current reply, or, between two, of the next.
    pub(super) fn number(&self, is_in_message: bool) -> u64 {
        if is_in_message { self.stream.number() } else { self.stream.next_byte().0 }
    }

    /// Checks the head of a frame, while `outstanding` requests are unanswered.
    pub(super) fn expect(
        &mut self,
        head: FrameHead,
        traffic: &Traffic,
        outstanding: usize,
    ) -> Result<(), Objection> {
        if head.opcode != Opcode::Continuation {
            self.stream.enter(traffic);
            if outstanding == 0 {
                return Err((0, "a message, and no request is outstanding".to_owned()));
            }
            let (came, sent) = match (head.opcode == Opcode::Text, traffic.framing.is_text()) {
                (true, false) => ("text", "binary"),
                (false, true) => ("binary", "text"),
                _ => ("", ""),
            };
            if came != sent {
                return Err((0, format!("a {came} message, and the one sent was {sent}")));
            }
        }
        let (_, before) = self.stream.position();
        let size = self.stream.size();
        let length = before.saturating_add(head.payload_bytes);
        if length > size {
            return Err((1, format!("a message of {length} bytes or more; {size} were sent")));
        }
        if head.is_final && length < size {
            return Err((1, format!("a message of {length} bytes; {size} were sent")));
        }
        Ok(())
    }

    /// Compares bytes of the current reply, which has them.
    pub(super) fn compare(&mut self, bytes: &[u8], traffic: &Traffic) -> Result<(), WrongByte> {
        for (number, piece) in bytes.chunks(SLICE_BYTES_MAX).enumerate() {
            if traffic.verify == Verify::Full {
                let (start, offset) = self.stream.position();
                let expected = traffic.payload.slice(start.plus(offset), piece.len() as u64);
                let right = common_bytes(piece, expected);
                if right < piece.len() {
                    return Err(WrongByte {
                        at: number * SLICE_BYTES_MAX + right,
                        offset: offset + right as u64,
                        expected: expected.get(right).copied(),
                    });
                }
            }
            self.stream.advance(traffic, piece.len());
        }
        Ok(())
    }
}
