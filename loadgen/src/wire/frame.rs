//! One message on the wire: its head, its payload, its tail.

use super::payload::{Cursor, Payload};

/// A message; every part may be empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) head: &'a [u8],
    pub(super) payload_bytes: u64,
    /// Whether the payload is masked.
    pub(super) is_masked: bool,
    pub(super) tail: &'a [u8],
}

/// The rest of one part of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// Bytes of the head or the tail.
    Framing(&'a [u8]),
    Payload(&'a [u8]),
}

impl<'a> Frame<'a> {
    /// Length of the message.
    pub(super) fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.payload_bytes + self.tail.len() as u64
    }

    /// The head, payload or tail from `offset` bytes into the message on; empty at its end.
    pub(super) fn piece<'b>(&self, offset: u64, payload: &'b Payload, start: Cursor) -> Piece<'b>
    where
        'a: 'b,
    {
        let head_bytes = self.head.len() as u64;
        if offset < head_bytes {
            return Piece::Framing(&self.head[offset as usize..]);
        }
        let passed = offset - head_bytes;
        if passed < self.payload_bytes {
            let rest = self.payload_bytes - passed;
            return Piece::Payload(match self.is_masked {
                false => payload.slice(start.plus(passed), rest),
                true => payload.masked_slice(start, passed, rest),
            });
        }
        Piece::Framing(&self.tail[(passed - self.payload_bytes) as usize..])
    }

    /// Appends the message from `offset` on to `out`, until `out` has `limit` bytes. Returns the
    /// number of bytes appended.
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

    /// The byte `offset` bytes into the message; nothing behind its end.
    pub(super) fn byte_at(&self, offset: u64, payload: &Payload, start: Cursor) -> Option<u8> {
        self.piece(offset, payload, start).bytes().first().copied()
    }
}

impl<'a> Piece<'a> {
    /// Its bytes.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Framing(bytes) | Self::Payload(bytes) => bytes,
        }
    }
}

/// Appends the bytes behind the first `skip` to `out`, until `out` has `limit` bytes. Reduces
/// `skip` by what it has left out.
pub(super) fn append_rest(bytes: &[u8], skip: &mut u64, out: &mut Vec<u8>, limit: usize) {
    let skipped = bytes.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
    *skip -= skipped as u64;
    let rest = &bytes[skipped..];
    out.extend_from_slice(&rest[..rest.len().min(limit - out.len())]);
}
