//! The body of one reply, compared with the first reply's while it is received.

use super::super::frame::common_bytes;
use super::super::traffic::Verify;
use super::reply_decoder::{Fault, Learned, Reference, STORED_BYTES_MAX};

/// What a body is compared with, and how closely.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) verify: Verify,
    pub(super) reference: &'a Reference,
}

/// The part of a body that has been received.
#[derive(Debug)]
pub(super) struct Body {
    is_learner: bool,
    /// Bytes so far.
    length: u64,
    /// Its beginning, while there is nothing to compare it with, and where in the reply that was.
    stored: Vec<u8>,
    stored_at: u64,
}

impl Body {
    /// No body yet, on connection number `connection`.
    pub(super) fn new(connection: u32) -> Self {
        Self {
            is_learner: Reference::is_learner(connection),
            length: 0,
            stored: Vec::new(),
            stored_at: 0,
        }
    }

    /// Forgets the body.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.stored = Vec::new();
    }

    /// Compares the next bytes of it, which begin `offset` bytes into the reply.
    pub(super) fn came(
        &mut self,
        bytes: &[u8],
        offset: u64,
        rules: Rules<'_>,
    ) -> Result<(), Fault> {
        match rules.reference.get() {
            Some(learned) if rules.verify != Verify::None => {
                self.compare_stored(learned)?;
                self.compare(bytes, offset, learned, rules.verify)?;
            }
            None if rules.verify == Verify::Full && self.is_learner => self.store(bytes, offset),
            Some(_) | None => {}
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The body is whole; `last` is the byte that ended it, `offset` bytes into the reply.
    pub(super) fn end(&mut self, last: u8, offset: u64, rules: Rules<'_>) -> Result<(), Fault> {
        let can_teach = rules.verify == Verify::Length || self.is_learner;
        if rules.verify == Verify::None || (rules.reference.get().is_none() && !can_teach) {
            return Ok(());
        }
        let learned = match rules.reference.get() {
            Some(learned) => learned,
            None => rules.reference.learn(self.length, self.stored.clone()),
        };
        self.compare_stored(learned)?;
        if self.length == learned.length {
            return Ok(());
        }
        let note = lengths(self.length, learned);
        Err(Fault { offset_bytes: offset, expected: None, got: last, note: Some(note) })
    }

    fn store(&mut self, bytes: &[u8], offset: u64) {
        if self.stored.is_empty() {
            self.stored_at = offset;
        }
        let room = STORED_BYTES_MAX - self.stored.len();
        self.stored.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Compares the bytes stored before there was a reference, and drops them.
    fn compare_stored(&mut self, learned: &Learned) -> Result<(), Fault> {
        let stored = std::mem::take(&mut self.stored);
        let right = common_bytes(&stored, &learned.bytes);
        if right == stored.len() {
            return Ok(());
        }
        let note = "the offset leaves the lines between chunks out, if there were any";
        let expected = learned.bytes.get(right).copied();
        Err(Fault::at(&stored, right, expected, note.to_owned()).behind(self.stored_at))
    }

    fn compare(
        &self,
        bytes: &[u8],
        offset: u64,
        learned: &Learned,
        verify: Verify,
    ) -> Result<(), Fault> {
        let known = learned.bytes.get(usize::try_from(self.length).unwrap_or(usize::MAX)..);
        let known = known.filter(|_| verify == Verify::Full).unwrap_or_default();
        let compared = bytes.len().min(known.len());
        let right = common_bytes(&bytes[..compared], known);
        if right < compared {
            let note = "the body differs from that of the first reply".to_owned();
            return Err(Fault::at(bytes, right, Some(known[right]), note).behind(offset));
        }
        let left = learned.length.saturating_sub(self.length);
        if bytes.len() as u64 <= left {
            return Ok(());
        }
        let note =
            format!("the body is longer than the {} bytes of the first reply", learned.length);
        Err(Fault::at(bytes, left as usize, None, note).behind(offset))
    }
}

fn lengths(length: u64, learned: &Learned) -> String {
    format!("the body has {length} bytes, that of the first reply {}", learned.length)
}
