//! The payload of requests and replies: every byte is a pure function of (seed, connection,
//! position).
//!
//! All connections share one pseudo-random block per run. A connection's stream is that block,
//! repeated, from the connection's own entry point on. So request `k` of `size` bytes is the
//! stream's bytes `k * size ..`, and consecutive requests are one contiguous slice. A pipelined
//! batch is one write, and its check is one comparison of memory.
//!
//! WebSocket wants the payload of requests masked: xored with four bytes that the head of the frame
//! contains, from the first byte of the payload on. A run has one key. The key in a head is this
//! key, rotated by where the payload begins in the block. So what is sent is a slice of the masked
//! block, which is made once, and nothing is masked for a request.

use crate::schedule::random::{self, split_mix};

/// Length of the repeating block: the largest prime below 2^18.
///
/// It is prime, so that a reply shifted by a power of two (the usual buffer bug) is never right. It
/// fits into a second-level cache.
const PERIOD: usize = 262_139;

/// Maximum length of a slice; longer transfers take several.
pub(crate) const SLICE_BYTES_MAX: usize = 128 * 1024;

/// Distance between the entry points of neighbouring connections: the golden section of the period.
/// It spreads any number of connections evenly, and no two have the same entry point.
const STRIDE: u64 = 162_011;

/// Length of the key of a mask.
const KEY_BYTES: usize = 4;

/// Part of a seed from which the key is drawn.
const KEY: u64 = 13 << 40;

/// The bytes that a payload may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// All of them.
    Bytes,
    /// Printable ASCII without the space, which some servers trim.
    Printable,
}

/// The bytes of a run.
#[derive(Debug)]
pub(super) struct Payload {
    /// The block, then its own beginning again, so that no slice wraps around.
    bytes: Vec<u8>,
    entry: u64,
    masked: Option<Box<MaskedPayload>>,
}

/// The block, masked.
#[derive(Debug)]
struct MaskedPayload {
    key: [u8; KEY_BYTES],
    /// With the key rotated by 0, 1, 2, 3. The period is no multiple of four, so what comes after
    /// the end of the block needs another rotation than what stands there at its beginning.
    rotations: [Vec<u8>; KEY_BYTES],
}

/// A position in one connection's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(usize);

impl Payload {
    /// Generates the block for `seed`.
    pub(super) fn new(seed: u64, alphabet: Alphabet) -> Self {
        let mut state = seed;
        let entry = split_mix(&mut state) % PERIOD as u64;
        let mut bytes: Vec<u8> = Vec::with_capacity(PERIOD + SLICE_BYTES_MAX + 8);
        while bytes.len() < PERIOD {
            bytes.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        bytes.truncate(PERIOD);
        if alphabet == Alphabet::Printable {
            bytes.iter_mut().for_each(|byte| *byte = b'!' + *byte % (b'~' - b'!' + 1));
        }
        bytes.extend_from_within(..SLICE_BYTES_MAX);
        Self { bytes, entry, masked: None }
    }

    /// The same, with masked bytes, too.
    pub(super) fn with_mask(self, seed: u64) -> Self {
        // No byte of the key is 0, so that no byte is sent as it is.
        let key = random::key(seed, KEY).to_le_bytes();
        let key: [u8; KEY_BYTES] = std::array::from_fn(|at| 1 + key[at] % u8::MAX);
        let rotations = std::array::from_fn(|rotation| {
            let key = key.iter().cycle().skip(rotation);
            self.bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect()
        });
        Self { masked: Some(Box::new(MaskedPayload { key, rotations })), ..self }
    }

    /// Where the stream of connection number `connection` begins.
    pub(super) fn start(&self, connection: u32) -> Cursor {
        let place = (self.entry + u64::from(connection) * STRIDE) % PERIOD as u64;
        Cursor(usize::try_from(place).expect("a place inside the block fits any address"))
    }

    /// The next bytes at `cursor`: `length` of them, at most [`SLICE_BYTES_MAX`].
    pub(super) fn slice(&self, cursor: Cursor, length: u64) -> &[u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(SLICE_BYTES_MAX);
        &self.bytes[cursor.0..cursor.0 + length]
    }

    /// The key of a frame whose payload begins at the beginning of the block; zeros without masked
    /// bytes.
    pub(super) fn key(&self) -> [u8; KEY_BYTES] {
        self.key_at(Cursor(0))
    }

    /// The key of a frame whose payload begins at `start`.
    pub(super) fn key_at(&self, start: Cursor) -> [u8; KEY_BYTES] {
        let Some(masked) = &self.masked else { return [0; KEY_BYTES] };
        std::array::from_fn(|at| masked.key[(start.0 + at) % KEY_BYTES])
    }

    /// As [`Self::slice`], `passed` bytes behind `start`, masked with the key of a frame whose
    /// payload begins at `start`.
    pub(super) fn masked_slice(&self, start: Cursor, passed: u64, length: u64) -> &[u8] {
        let Some(masked) = &self.masked else { return self.slice(start.plus(passed), length) };
        let rounds = (start.0 as u64 + passed) / PERIOD as u64;
        let rotation = (rounds % KEY_BYTES as u64) as usize * PERIOD % KEY_BYTES;
        let place = start.plus(passed).0;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(SLICE_BYTES_MAX);
        &masked.rotations[rotation][place..place + length]
    }
}

impl Cursor {
    /// The position that a number stands for: as many bytes behind the beginning of the block.
    pub(super) fn at(number: u64) -> Self {
        Self(0).plus(number)
    }

    /// The position `length` bytes further on.
    pub(super) fn plus(self, length: u64) -> Self {
        let place = (self.0 as u64 + length) % PERIOD as u64;
        Self(usize::try_from(place).expect("a place inside the block fits any address"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The definition, byte by byte, with nothing clever.
    fn byte_at(payload: &Payload, connection: u32, position: u64) -> u8 {
        let place = (payload.start(connection).0 as u64 + position) % PERIOD as u64;
        payload.bytes[place as usize]
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
        assert_eq!(Payload::new(7, Alphabet::Bytes).bytes, Payload::new(7, Alphabet::Bytes).bytes);
        assert_ne!(Payload::new(7, Alphabet::Bytes).bytes, Payload::new(8, Alphabet::Bytes).bytes);
    }

    #[test]
    fn the_period_is_prime() {
        assert!((2..512).all(|divisor| !PERIOD.is_multiple_of(divisor)));
    }

    #[test]
    fn no_two_connections_enter_the_block_at_the_same_place() {
        let payload = Payload::new(1, Alphabet::Bytes);
        let starts: HashSet<usize> = (0..60_000).map(|n| payload.start(n).0).collect();
        assert_eq!(starts.len(), 60_000);
    }

    #[test]
    fn a_reply_displaced_by_a_power_of_two_never_looks_right() {
        let payload = Payload::new(1, Alphabet::Bytes);
        let start = payload.start(3);
        for power in 0..26 {
            let displaced = start.plus(1 << power);
            assert_ne!(payload.slice(start, 16), payload.slice(displaced, 16), "2^{power}");
        }
    }

    #[test]
    fn a_printable_payload_has_no_line_feed_and_nothing_that_a_terminal_would_not_show() {
        let payload = Payload::new(1, Alphabet::Printable);
        assert!(payload.bytes.iter().all(u8::is_ascii_graphic));
        let distinct: HashSet<u8> = payload.bytes.iter().copied().collect();
        assert_eq!(distinct.len(), 94);
    }

    proptest! {
        #[test]
        fn a_masked_slice_is_the_plain_one_xored_with_the_key_of_its_frame(
            seed: u64,
            start in 0..PERIOD as u64,
            passed in 0_u64..=64 << 20,
            length in 1_usize..300,
        ) {
            let payload = Payload::new(seed, Alphabet::Bytes).with_mask(seed);
            let start = Cursor::at(start);
            let key = payload.key_at(start);
            prop_assert!(!key.contains(&0));
            let plain = payload.slice(start.plus(passed), length as u64);
            let masked = payload.masked_slice(start, passed, length as u64);
            prop_assert_eq!(masked.len(), length);
            for (at, (&masked, &plain)) in masked.iter().zip(plain).enumerate() {
                prop_assert_eq!(masked, plain ^ key[(passed as usize + at) % 4], "{}", at);
            }
        }

        #[test]
        fn slices_taken_in_any_steps_follow_the_byte_by_byte_definition(
            seed: u64,
            connection in 0_u32..100_000,
            steps in prop::collection::vec(0_usize..=SLICE_BYTES_MAX, 1..8),
        ) {
            let payload = Payload::new(seed, Alphabet::Bytes);
            let mut cursor = payload.start(connection);
            let mut position = 0_u64;
            for step in steps {
                let slice = payload.slice(cursor, step as u64);
                let probes = [0, step / 2, step.saturating_sub(1)];
                for probe in probes.into_iter().filter(|&probe| probe < step) {
                    let expected = byte_at(&payload, connection, position + probe as u64);
                    prop_assert_eq!(slice[probe], expected);
                }
                cursor = cursor.plus(step as u64);
                position += step as u64;
            }
        }
    }
}
