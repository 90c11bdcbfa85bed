//! The payload of requests and replies: every byte is a pure function of (seed, connection,
//! position).
//!
//! All connections share one pseudo-random block per run. A connection's stream is that block,
//! repeated, from the connection's own entry point on. So request `k` of `size` bytes is the
//! stream's bytes `k * size ..`, and consecutive requests are one contiguous slice. A pipelined
//! batch is one write, and its check is one comparison of memory.

use crate::schedule::random::split_mix;

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
        Self { bytes, entry }
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
