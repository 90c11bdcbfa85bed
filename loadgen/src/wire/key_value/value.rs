//! The bytes of a value, and whether received bytes are those of one.
//!
//! A value begins with a stamp of 16 bytes: key, version, length, and a check of the three, which
//! depends on the seed. The bytes behind it are a part of the payload that depends on seed, key and
//! version. So a reader of any value knows what it should be, without a copy of it.

use super::super::mismatch::common_bytes;
use super::super::payload::{Cursor, Payload};
use crate::schedule::random;

/// Length of the stamp, and of the shortest value.
pub(crate) const STAMP_BYTES: u32 = 16;

/// Part of a seed from which the values are made.
const VALUES: u64 = 9 << 40;

type Stamp = [u8; STAMP_BYTES as usize];

/// A version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) key: u32,
    pub(super) version: u32,
    /// At least [`STAMP_BYTES`].
    pub(super) size: u32,
}

/// What the values of a run are made from.
#[derive(Debug)]
pub(super) struct Values {
    seed: u64,
}

impl Values {
    /// The values of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed: random::key(seed, VALUES) }
    }

    fn number(&self, value: Value) -> u64 {
        let version = u64::from(value.key) << 32 | u64::from(value.version);
        random::at(random::key(self.seed, u64::from(value.size)), version)
    }

    /// The first bytes of a value.
    pub(super) fn stamp(&self, value: Value) -> Stamp {
        let check = (self.number(value) >> 32) as u32;
        let mut stamp = [0; STAMP_BYTES as usize];
        let words = [value.key, value.version, value.size, check];
        for (place, word) in stamp.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        stamp
    }

    /// The value whose first bytes these are; nothing if no value of this seed has them.
    fn stamped(&self, stamp: Stamp) -> Option<Value> {
        let word = |at: usize| {
            let bytes = [stamp[at], stamp[at + 1], stamp[at + 2], stamp[at + 3]];
            u32::from_be_bytes(bytes)
        };
        let value = Value { key: word(0), version: word(4), size: word(8) };
        (self.stamp(value) == stamp).then_some(value)
    }

    /// Where in the payload the bytes behind the stamp begin.
    fn start(&self, value: Value) -> Cursor {
        Cursor::at(self.number(value) & 0xFFFF_FFFF)
    }

    /// Appends a value from `offset` bytes on to `out`, until `out` has `limit` bytes.
    pub(super) fn append(
        &self,
        value: Value,
        offset: u64,
        payload: &Payload,
        out: &mut Vec<u8>,
        limit: usize,
    ) {
        let stamp_bytes = u64::from(STAMP_BYTES);
        let mut passed = offset;
        if passed < stamp_bytes {
            let stamp = self.stamp(value);
            let rest = &stamp[passed as usize..];
            let taken = rest.len().min(limit - out.len());
            out.extend_from_slice(&rest[..taken]);
            passed += taken as u64;
        }
        let start = self.start(value);
        while passed < u64::from(value.size) && out.len() < limit {
            let cursor = start.plus(passed - stamp_bytes);
            let slice = payload.slice(cursor, u64::from(value.size) - passed);
            let taken = slice.len().min(limit - out.len());
            out.extend_from_slice(&slice[..taken]);
            passed += taken as u64;
        }
    }
}

/// What the bytes of a received value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All bytes of this value.
    Whole(Value),
    /// The stamp of this value, and then a byte that is not its own, at this offset.
    Torn { value: Value, at: u64, expected: Option<u8>, got: u8 },
    /// No value of this seed.
    Unknown { first: u8 },
}

/// Compares a value while it is received, and stores no more of it than its stamp.
#[derive(Debug)]
pub(super) struct ValueCheck {
    /// Its length, as the reply states it.
    size: u64,
    received: u64,
    stamp: Stamp,
    found: Option<Found>,
    value: Option<(Value, Cursor)>,
}

impl ValueCheck {
    /// Before the first byte of a value of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        let stamp = [0; STAMP_BYTES as usize];
        Self { size, received: 0, stamp, found: None, value: None }
    }

    /// Compares the next bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], values: &Values, payload: &Payload) {
        let mut rest = bytes;
        let stamp_bytes = u64::from(STAMP_BYTES);
        if self.received < stamp_bytes {
            let at = self.received as usize;
            let taken = rest.len().min(STAMP_BYTES as usize - at);
            self.stamp[at..at + taken].copy_from_slice(&rest[..taken]);
            self.received += taken as u64;
            rest = &rest[taken..];
            if self.received == stamp_bytes {
                self.stamp_is_complete(values);
            }
        }
        while let Some((value, start)) = self.value
            && self.found.is_none()
            && !rest.is_empty()
        {
            let expected =
                payload.slice(start.plus(self.received - stamp_bytes), rest.len() as u64);
            let right = common_bytes(&rest[..expected.len()], expected);
            if right < expected.len() {
                self.found = Some(Found::Torn {
                    value,
                    at: self.received + right as u64,
                    expected: Some(expected[right]),
                    got: rest[right],
                });
            }
            self.received += expected.len() as u64;
            rest = &rest[expected.len()..];
        }
        self.received += rest.len() as u64;
    }

    fn stamp_is_complete(&mut self, values: &Values) {
        match values.stamped(self.stamp) {
            Some(value) if u64::from(value.size) == self.size => {
                self.value = Some((value, values.start(value)));
            }
            Some(value) => {
                let got = self.stamp[STAMP_BYTES as usize - 1];
                let at = self.size.min(value.size.into());
                self.found = Some(Found::Torn { value, at, expected: None, got });
            }
            None => self.found = Some(Found::Unknown { first: self.stamp[0] }),
        }
    }

    /// What the bytes are, all of which were received.
    pub(super) fn found(&self) -> Found {
        match (self.found, self.value) {
            (Some(found), _) => found,
            (None, Some((value, _))) => Found::Whole(value),
            (None, None) => Found::Unknown { first: self.stamp[0] },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::payload::Alphabet;
    use super::*;

    fn bytes_of(value: Value, seed: u64) -> Vec<u8> {
        let payload = Payload::new(seed, Alphabet::Bytes);
        let mut bytes = Vec::new();
        Values::new(seed).append(value, 0, &payload, &mut bytes, usize::MAX);
        bytes
    }

    fn found(bytes: &[u8], pieces: usize) -> Found {
        let payload = Payload::new(7, Alphabet::Bytes);
        let mut check = ValueCheck::new(bytes.len() as u64);
        bytes.chunks(pieces).for_each(|piece| check.receive(piece, &Values::new(7), &payload));
        check.found()
    }

    proptest! {
        #![proptest_config(test_inputs::config(100))]

        #[test]
        fn a_value_is_known_again_however_it_is_cut_and_a_changed_byte_is_found(
            key: u32,
            version: u32,
            size in STAMP_BYTES..3_000,
            pieces in 1_usize..4_000,
            changed in any::<prop::sample::Index>(),
        ) {
            let value = Value { key, version, size };
            let mut bytes = bytes_of(value, 7);
            prop_assert_eq!(found(&bytes, pieces), Found::Whole(value));
            let changed = changed.index(bytes.len());
            bytes[changed] ^= 0x40;
            let expected = (changed >= STAMP_BYTES as usize).then_some(changed as u64);
            let torn_at = match found(&bytes, pieces) {
                Found::Torn { at, .. } => Some(at),
                Found::Unknown { .. } => None,
                Found::Whole(value) => panic!("{value:?}"),
            };
            prop_assert_eq!(torn_at, expected);
        }

        #[test]
        fn a_value_may_be_made_in_any_steps(size in STAMP_BYTES..3_000, step in 1_usize..4_000) {
            let value = Value { key: 5, version: 3, size };
            let (values, payload) = (Values::new(7), Payload::new(7, Alphabet::Bytes));
            let mut bytes = Vec::new();
            while bytes.len() < size as usize {
                let limit = bytes.len() + step;
                values.append(value, bytes.len() as u64, &payload, &mut bytes, limit);
            }
            prop_assert!(bytes == bytes_of(value, 7));
        }
    }

    #[test]
    fn a_value_of_another_length_or_another_seed_is_none() {
        let value = Value { key: 1, version: 2, size: 100 };
        let bytes = bytes_of(value, 7);
        for cut in [&bytes[..99], &[&*bytes, b"x"].concat()] {
            assert!(matches!(found(cut, 10), Found::Torn { at: 99 | 100, .. }), "{}", cut.len());
        }
        for unknown in [&bytes_of(value, 8)[..], &bytes[..15], b"x", b""] {
            assert!(matches!(found(unknown, 10), Found::Unknown { .. }));
        }
    }

    #[test]
    fn versions_of_a_key_and_keys_of_a_version_have_other_bytes_behind_the_stamp() {
        let of = |key, version| bytes_of(Value { key, version, size: 64 }, 7).split_off(16);
        assert_ne!(of(1, 1), of(1, 2));
        assert_ne!(of(1, 1), of(2, 1));
    }
}
