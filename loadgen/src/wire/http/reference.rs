//! The body that every reply must have: that of the first complete reply.

use std::sync::OnceLock;

/// Most bytes of it that are stored and compared; the rest is only counted.
pub(super) const STORED_BYTES_MAX: usize = 1 << 20;

/// Until a reply is complete, only so many connections (those with the lowest numbers) store the
/// bodies they receive, so that ten thousand of them do not store a mebibyte each. The others' very
/// first replies are compared from their position when the body becomes known.
const LEARNERS: u32 = 64;

/// The body: written once, read without a lock by all threads.
#[derive(Debug, Default)]
pub(in crate::wire) struct Reference(OnceLock<Learned>);

/// The body.
#[derive(Debug)]
pub(super) struct Learned {
    /// Its length.
    pub(super) length: u64,
    /// Its beginning, [`STORED_BYTES_MAX`] at most; nothing where lengths are all that counts.
    pub(super) bytes: Vec<u8>,
}

impl Reference {
    /// Whether connection number `connection` stores bodies while there is no reference yet.
    pub(super) fn is_learner(connection: u32) -> bool {
        connection < LEARNERS
    }

    /// The body, if it is known.
    pub(super) fn get(&self) -> Option<&Learned> {
        self.0.get()
    }

    /// The body; if it is not known yet, it is this from now on.
    pub(super) fn learn(&self, length: u64, bytes: Vec<u8>) -> &Learned {
        self.0.get_or_init(|| Learned { length, bytes })
    }
}
