//! One message on the wire: what comes before the payload, the payload, what comes after it.

use super::payload::{Cursor, Payload};
use super::traffic::Verify;

/// A message; every part may be empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) head: &'a [u8],
    pub(super) payload_bytes: u64,
    pub(super) tail: &'a [u8],
}

/// A contiguous part of a message.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    /// Of the head or the tail.
    Framing(&'a [u8]),
    Payload(&'a [u8]),
}

impl<'a> Frame<'a> {
    /// Length of the message.
    pub(super) fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.payload_bytes + self.tail.len() as u64
    }

    /// The stretch that begins `offset` bytes into the message; empty at its end.
    fn piece<'b>(&self, offset: u64, payload: &'b Payload, start: Cursor) -> Piece<'b>
    where
        'a: 'b,
    {
        let head_bytes = self.head.len() as u64;
        if offset < head_bytes {
            return Piece::Framing(&self.head[offset as usize..]);
        }
        let passed = offset - head_bytes;
        if passed < self.payload_bytes {
            return Piece::Payload(payload.slice(start.plus(passed), self.payload_bytes - passed));
        }
        Piece::Framing(&self.tail[(passed - self.payload_bytes) as usize..])
    }

    /// Appends the message from `offset` on to `out`, until that has `limit` bytes; returns how
    /// many bytes it has become longer.
    pub(super) fn append(
        &self,
        offset: u64,
        payload: &Payload,
        start: Cursor,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> u64 {
        let before = out.len();
        loop {
            let reached = offset + (out.len() - before) as u64;
            let bytes = self.piece(reached, payload, start).bytes();
            let taken = bytes.len().min(limit - out.len());
            if taken == 0 {
                return (out.len() - before) as u64;
            }
            out.extend_from_slice(&bytes[..taken]);
        }
    }

    /// How many of the bytes that came, from the first on, are those of the message from `offset`
    /// on, as far as `verify` looks; those behind its end are not.
    pub(super) fn right_bytes(
        &self,
        offset: u64,
        payload: &Payload,
        start: Cursor,
        came: &[u8],
        verify: Verify,
    ) -> usize {
        let mut right = 0;
        loop {
            let piece = self.piece(offset + right as u64, payload, start);
            let compared = piece.bytes().len().min(came.len() - right);
            let same = match piece {
                Piece::Payload(_) if verify != Verify::Full => {
                    self.before_tail(&came[right..right + compared])
                }
                Piece::Framing(expected) | Piece::Payload(expected) => {
                    common_bytes(&came[right..right + compared], expected)
                }
            };
            right += same;
            if same < compared || compared == 0 {
                return right;
            }
        }
    }

    /// How many of the bytes can belong to the payload whatever it is: with a tail and no head
    /// that states the length, the tail's byte ends it.
    fn before_tail(&self, came: &[u8]) -> usize {
        match (self.head, self.tail) {
            ([], [end]) => came.iter().take_while(|&byte| byte != end).count(),
            _ => came.len(),
        }
    }

    /// The byte `offset` bytes into the message, if it is that long.
    pub(super) fn byte_at(&self, offset: u64, payload: &Payload, start: Cursor) -> Option<u8> {
        self.piece(offset, payload, start).bytes().first().copied()
    }
}

impl<'a> Piece<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Framing(bytes) | Self::Payload(bytes) => bytes,
        }
    }
}

/// How many bytes at the beginning of both are the same.
pub(super) fn common_bytes(came: &[u8], expected: &[u8]) -> usize {
    // One comparison of memory where all is well, which is nearly always.
    if expected.get(..came.len()) == Some(came) {
        return came.len();
    }
    came.iter().zip(expected).take_while(|(came, expected)| came == expected).count()
}
