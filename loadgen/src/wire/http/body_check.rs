//! Compares the body of a reply with that of the run's first reply while it is received.

use std::sync::OnceLock;

use super::super::mismatch::{Fault, common_bytes};
use super::super::spec::Verify;

/// Most bytes of a body that are compared; further ones are only counted.
const STORED_BYTES_MAX: usize = 1 << 20;

/// How many connections, those with the lowest numbers, store bodies until the first reply is
/// complete. If all connections did, ten thousand of them would store ten gibibytes.
///
/// The other connections compare the bytes that they receive from then on, and no earlier ones.
const RECORDING_CONNECTIONS: u32 = 64;

/// The body of the run's first complete reply: written once, read by all threads without a lock.
#[derive(Debug, Default)]
pub(in crate::wire) struct Reference(OnceLock<ReferenceBody>);

/// The body that every later one must equal.
#[derive(Debug)]
struct ReferenceBody {
    /// Its length.
    length: u64,
    /// Its first [`STORED_BYTES_MAX`] bytes; empty where only lengths are compared.
    bytes: Vec<u8>,
}

impl Reference {
    /// The body, if a reply is complete.
    fn get(&self) -> Option<&ReferenceBody> {
        self.0.get()
    }

    /// Sets the body, unless another thread has set it; returns the body that is set.
    fn set(&self, length: u64, bytes: Vec<u8>) -> &ReferenceBody {
        self.0.get_or_init(|| ReferenceBody { length, bytes })
    }
}

/// What a body is compared with, and how closely.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) verify: Verify,
    pub(super) reference: &'a Reference,
}

/// The check of the body that a connection is receiving.
#[derive(Debug)]
pub(super) struct BodyCheck {
    /// Whether it stores the body until there is a reference.
    records_reference: bool,
    /// Bytes received so far.
    length: u64,
    /// The bytes received before there was a reference, [`STORED_BYTES_MAX`] at most.
    stored: Vec<u8>,
    /// Offset of the first of them in the reply.
    stored_at: u64,
}

impl BodyCheck {
    /// The check of connection number `connection`, before its first body.
    pub(super) fn new(connection: u32) -> Self {
        Self {
            records_reference: connection < RECORDING_CONNECTIONS,
            length: 0,
            stored: Vec::new(),
            stored_at: 0,
        }
    }

    /// Begins the next body.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.stored = Vec::new();
    }

    /// Compares the next bytes of the body, which begin `offset` bytes into the reply.
    pub(super) fn verify_received(
        &mut self,
        bytes: &[u8],
        offset: u64,
        rules: Rules<'_>,
    ) -> Result<(), Fault> {
        match rules.reference.get() {
            Some(reference) if rules.verify != Verify::None => {
                self.compare_stored(reference)?;
                self.compare(bytes, offset, reference, rules.verify)?;
            }
            None if rules.verify == Verify::Full && self.records_reference => {
                self.store(bytes, offset);
            }
            Some(_) | None => {}
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Compares the length of the body, which is complete. `last` is the byte that ended it,
    /// `offset` bytes into the reply. The first complete body becomes the reference.
    pub(super) fn verify_end(
        &mut self,
        last: u8,
        offset: u64,
        rules: Rules<'_>,
    ) -> Result<(), Fault> {
        let can_set_reference = rules.verify == Verify::Length || self.records_reference;
        if rules.verify == Verify::None || (rules.reference.get().is_none() && !can_set_reference) {
            return Ok(());
        }
        let reference = match rules.reference.get() {
            Some(reference) => reference,
            None => rules.reference.set(self.length, self.stored.clone()),
        };
        self.compare_stored(reference)?;
        if self.length == reference.length {
            return Ok(());
        }
        let note = lengths(self.length, reference);
        Err(Fault { offset_bytes: offset, expected: None, got: last, note: Some(note) })
    }

    fn store(&mut self, bytes: &[u8], offset: u64) {
        if self.stored.is_empty() {
            self.stored_at = offset;
        }
        let room = STORED_BYTES_MAX - self.stored.len();
        self.stored.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Compares the bytes that were stored before there was a reference, and frees them.
    fn compare_stored(&mut self, reference: &ReferenceBody) -> Result<(), Fault> {
        let stored = std::mem::take(&mut self.stored);
        let right = common_bytes(&stored, &reference.bytes);
        if right == stored.len() {
            return Ok(());
        }
        let note = "the offset leaves the lines between chunks out, if there were any";
        let expected = reference.bytes.get(right).copied();
        Err(Fault::at(&stored, right, expected, note.to_owned()).moved_by(self.stored_at))
    }

    fn compare(
        &self,
        bytes: &[u8],
        offset: u64,
        reference: &ReferenceBody,
        verify: Verify,
    ) -> Result<(), Fault> {
        let known = reference.bytes.get(usize::try_from(self.length).unwrap_or(usize::MAX)..);
        let known = known.filter(|_| verify == Verify::Full).unwrap_or_default();
        let compared = bytes.len().min(known.len());
        let right = common_bytes(&bytes[..compared], known);
        if right < compared {
            let note = "the body differs from that of the first reply".to_owned();
            return Err(Fault::at(bytes, right, Some(known[right]), note).moved_by(offset));
        }
        let left = reference.length.saturating_sub(self.length);
        if bytes.len() as u64 <= left {
            return Ok(());
        }
        let note =
            format!("the body is longer than the {} bytes of the first reply", reference.length);
        Err(Fault::at(bytes, left as usize, None, note).moved_by(offset))
    }
}

fn lengths(length: u64, reference: &ReferenceBody) -> String {
    format!("the body has {length} bytes, that of the first reply {}", reference.length)
}
