//! A byte of a reply that is wrong.

/// Where a reply is not what it must be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wire) struct Fault {
    /// Offset of the byte, in what is being read; in the whole reply once it leaves the decoder.
    pub(in crate::wire) offset_bytes: u64,
    /// The expected byte, if only one is right.
    pub(in crate::wire) expected: Option<u8>,
    pub(in crate::wire) got: u8,
    pub(in crate::wire) note: Option<String>,
}

impl Fault {
    /// Byte number `offset` of `bytes` is wrong.
    pub(super) fn at(bytes: &[u8], offset: usize, expected: Option<u8>, note: String) -> Self {
        let got = bytes.get(offset).copied().unwrap_or_default();
        Self { offset_bytes: offset as u64, expected, got, note: Some(note) }
    }

    /// The first byte with which `bytes`, which are wrong, cannot be made right any more by what
    /// follows: `is_wrong` says so of a beginning, and then of all longer ones.
    pub(super) fn search(bytes: &[u8], note: String, is_wrong: impl Fn(&[u8]) -> bool) -> Self {
        let (mut right, mut wrong) = (0, bytes.len());
        while wrong - right > 1 {
            let middle = right + (wrong - right) / 2;
            if is_wrong(&bytes[..middle]) {
                wrong = middle;
            } else {
                right = middle;
            }
        }
        Self::at(bytes, right, None, note)
    }

    /// The same, `before` bytes further into the reply.
    pub(super) fn behind(mut self, before: u64) -> Self {
        self.offset_bytes += before;
        self
    }
}
