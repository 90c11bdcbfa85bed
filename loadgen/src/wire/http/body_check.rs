//! Compares the body of a reply, while it is received, with that of the run's first reply that has
//! the same request and status.

use std::sync::OnceLock;

use super::super::mismatch::{Fault, common_bytes};
use super::super::spec::Verify;

/// Most bytes of a body that are compared, where no less is requested.
const STORED_BYTES_MAX: usize = 1 << 20;

/// How many connections, those with the lowest numbers, store bodies until the first reply is
/// complete. If all connections did, ten thousand of them would store ten gibibytes.
///
/// The other connections compare the bytes that they receive from then on, and no earlier ones.
const RECORDING_CONNECTIONS: u32 = 64;

/// Most statuses whose bodies are compared. A server uses a few; with more, bodies would take
/// hundreds of mebibytes.
const STATUSES_MAX: usize = 16;

/// Of a request: the body of the run's first complete reply of each status, written once, read by
/// all threads without a lock. The statuses stand in the order of their first replies.
#[derive(Debug)]
pub(super) struct References {
    bodies: [OnceLock<Box<ReferenceBody>>; STATUSES_MAX],
    /// Most bytes of a body that are compared; further ones are only counted.
    bytes_max: usize,
}

/// The body that every later one with its status must equal.
#[derive(Debug)]
struct ReferenceBody {
    status: u16,
    /// Its length.
    length: u64,
    /// Its first [`References::bytes_max`] bytes; empty where only lengths are compared.
    bytes: Vec<u8>,
}

impl References {
    /// Before the first reply. At most so many bytes of a body are compared.
    pub(super) fn new(bytes_max: usize) -> Self {
        let bodies = [const { OnceLock::new() }; STATUSES_MAX];
        Self { bodies, bytes_max: bytes_max.min(STORED_BYTES_MAX) }
    }

    /// The body, if a reply with this status is complete.
    fn get(&self, status: u16) -> Option<&ReferenceBody> {
        let set = self.bodies.iter().map_while(OnceLock::get);
        set.map(|body| &**body).find(|body| body.status == status)
    }

    /// Sets the body, unless another thread has set it; returns the body that is set. There is none
    /// if as many other statuses as possible have one.
    fn set(&self, status: u16, length: u64, bytes: &[u8]) -> Option<&ReferenceBody> {
        let new = || Box::new(ReferenceBody { status, length, bytes: bytes.to_vec() });
        let bodies = self.bodies.iter().map(|place| &**place.get_or_init(new));
        bodies.into_iter().find(|body| body.status == status)
    }
}

/// The check of the body that a connection is receiving.
#[derive(Debug)]
pub(super) struct BodyCheck {
    /// Whether it stores the body until there is a reference.
    records_reference: bool,
    status: u16,
    /// What is compared of this body.
    verify: Verify,
    /// Bytes received so far.
    length: u64,
    /// The bytes received before there was a reference, [`References::bytes_max`] at most.
    stored: Vec<u8>,
    /// Offset of the first of them in the reply.
    stored_at: u64,
    /// The first difference; nothing is compared after it.
    change: Option<Fault>,
}

impl BodyCheck {
    /// The check of connection number `connection`, before its first body.
    pub(super) fn new(connection: u32) -> Self {
        Self {
            records_reference: connection < RECORDING_CONNECTIONS,
            status: 0,
            verify: Verify::None,
            length: 0,
            stored: Vec::new(),
            stored_at: 0,
            change: None,
        }
    }

    /// Begins the body of a reply with this status.
    pub(super) fn begin(&mut self, status: u16, verify: Verify) {
        self.status = status;
        self.verify = verify;
        self.length = 0;
        self.stored = Vec::new();
        self.change = None;
    }

    /// The status of the reply.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Takes the first difference between the body and the reference.
    pub(super) fn take_change(&mut self) -> Option<Fault> {
        self.change.take()
    }

    /// Compares the next bytes of the body, which begin `offset` bytes into the reply.
    pub(super) fn receive(&mut self, bytes: &[u8], offset: u64, references: &References) {
        if self.verify != Verify::None && self.change.is_none() {
            self.change = self.compare_next(bytes, offset, references).err();
        }
        self.length += bytes.len() as u64;
    }

    /// Compares the length of the body, which is complete. `last` is the byte that ended it,
    /// `offset` bytes into the reply. The first complete body becomes the reference.
    pub(super) fn end(&mut self, last: u8, offset: u64, references: &References) {
        if self.verify != Verify::None && self.change.is_none() {
            self.change = self.compare_end(last, offset, references).err();
        }
    }

    fn compare_next(
        &mut self,
        bytes: &[u8],
        offset: u64,
        references: &References,
    ) -> Result<(), Fault> {
        match references.get(self.status) {
            Some(reference) => {
                self.compare_stored(reference)?;
                self.compare(bytes, offset, reference)?;
            }
            None if self.verify == Verify::Full && self.records_reference => {
                self.store(bytes, offset, references.bytes_max);
            }
            None => {}
        }
        Ok(())
    }

    fn compare_end(&mut self, last: u8, offset: u64, references: &References) -> Result<(), Fault> {
        let can_set_reference = self.verify == Verify::Length || self.records_reference;
        let reference = match references.get(self.status) {
            Some(reference) => Some(reference),
            None if can_set_reference => references.set(self.status, self.length, &self.stored),
            None => None,
        };
        let Some(reference) = reference else { return Ok(()) };
        self.compare_stored(reference)?;
        if self.length == reference.length {
            return Ok(());
        }
        let note = self.other_length(&format!("has {} bytes", self.length), reference);
        Err(Fault { offset_bytes: offset, expected: None, got: last, note: Some(note) })
    }

    fn store(&mut self, bytes: &[u8], offset: u64, bytes_max: usize) {
        if self.stored.is_empty() {
            self.stored_at = offset;
        }
        let room = bytes_max - self.stored.len();
        self.stored.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Compares the bytes that were stored before there was a reference, and frees them.
    fn compare_stored(&mut self, reference: &ReferenceBody) -> Result<(), Fault> {
        let stored = std::mem::take(&mut self.stored);
        let right = common_bytes(&stored, &reference.bytes);
        if right == stored.len() {
            return Ok(());
        }
        let note = self.other_bytes() + "; the offset leaves out the lines between chunks";
        let expected = reference.bytes.get(right).copied();
        Err(Fault::at(&stored, right, expected, note).moved_by(self.stored_at))
    }

    fn compare(&self, bytes: &[u8], offset: u64, reference: &ReferenceBody) -> Result<(), Fault> {
        let known = reference.bytes.get(usize::try_from(self.length).unwrap_or(usize::MAX)..);
        let known = known.filter(|_| self.verify == Verify::Full).unwrap_or_default();
        let compared = bytes.len().min(known.len());
        let right = common_bytes(&bytes[..compared], known);
        if right < compared {
            return Err(
                Fault::at(bytes, right, Some(known[right]), self.other_bytes()).moved_by(offset)
            );
        }
        let left = reference.length.saturating_sub(self.length);
        if bytes.len() as u64 <= left {
            return Ok(());
        }
        let note = self.other_length("is longer", reference);
        Err(Fault::at(bytes, left as usize, None, note).moved_by(offset))
    }

    fn other_bytes(&self) -> String {
        format!(
            "the body differs from that of the run's first reply with status {}; if it may differ, \
             use --verify length",
            self.status
        )
    }

    fn other_length(&self, found: &str, reference: &ReferenceBody) -> String {
        format!(
            "the body {found}, that of the run's first reply with status {} had {} bytes; if its \
             length may differ, use --verify none",
            self.status, reference.length
        )
    }
}
