//! What is sent and must come back: every byte a pure function of (seed, connection, position).
//!
//! One pseudo-random block per run is shared by all connections. A connection's stream is that
//! block repeated, entered at the connection's own place, so request `k` of `size` bytes is the
//! stream's bytes `k * size ..`. Consecutive requests are therefore one contiguous slice: a
//! pipelined batch is one plain write and its check is one memory comparison.

use crate::schedule::random::split_mix;

/// Length of the repeating block: the largest prime below 2^18.
///
/// Prime, so that a reply displaced by a power of two (the usual buffer bug) never looks right;
/// small enough to stay in a second-level cache.
const PERIOD: usize = 262_139;

/// Most bytes one slice can hold; longer transfers take several.
pub(crate) const SLICE_BYTES_MAX: usize = 128 * 1024;

/// Distance between the entry points of neighbouring connections: the golden section of the
/// period, which spreads any number of connections evenly and never puts two in one place.
const STRIDE: u64 = 162_011;

/// The bytes of a run.
#[derive(Debug)]
pub(crate) struct Payload {
    /// The block, then its own beginning again, so that a slice never has to wrap.
    bytes: Vec<u8>,
    entry: u64,
}

/// A position in one connection's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor(usize);

impl Payload {
    /// Generates the block for `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        let entry = split_mix(&mut state) % PERIOD as u64;
        let mut bytes: Vec<u8> = Vec::with_capacity(PERIOD + SLICE_BYTES_MAX + 8);
        while bytes.len() < PERIOD {
            bytes.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        bytes.truncate(PERIOD);
        bytes.extend_from_within(..SLICE_BYTES_MAX);
        Self { bytes, entry }
    }

    /// Where the stream of connection number `connection` begins.
    pub(crate) fn start(&self, connection: u32) -> Cursor {
        let place = (self.entry + u64::from(connection) * STRIDE) % PERIOD as u64;
        Cursor(usize::try_from(place).expect("a place inside the block fits any address"))
    }

    /// The next bytes at `cursor`: `length` of them, at most [`SLICE_BYTES_MAX`].
    pub(crate) fn slice(&self, cursor: Cursor, length: u64) -> &[u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(SLICE_BYTES_MAX);
        &self.bytes[cursor.0..cursor.0 + length]
    }
}

impl Cursor {
    /// Moves on by `length` bytes, at most [`SLICE_BYTES_MAX`].
    pub(crate) fn advance(&mut self, length: usize) {
        debug_assert!(length <= SLICE_BYTES_MAX, "advance by {length} bytes");
        self.0 += length;
        if self.0 >= PERIOD {
            self.0 -= PERIOD;
        }
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
        assert_eq!(Payload::new(7).bytes, Payload::new(7).bytes);
        assert_ne!(Payload::new(7).bytes, Payload::new(8).bytes);
    }

    #[test]
    fn the_period_is_prime() {
        assert!((2..512).all(|divisor| !PERIOD.is_multiple_of(divisor)));
    }

    #[test]
    fn no_two_connections_enter_the_block_at_the_same_place() {
        let payload = Payload::new(1);
        let places: HashSet<usize> = (0..60_000).map(|n| payload.start(n).0).collect();
        assert_eq!(places.len(), 60_000);
    }

    #[test]
    fn a_reply_displaced_by_a_power_of_two_never_looks_right() {
        let payload = Payload::new(1);
        let start = payload.start(3);
        for power in 0..26 {
            let mut displaced = start;
            let mut left = 1_usize << power;
            while left > 0 {
                let step = left.min(SLICE_BYTES_MAX);
                displaced.advance(step);
                left -= step;
            }
            assert_ne!(payload.slice(start, 16), payload.slice(displaced, 16), "2^{power}");
        }
    }

    proptest! {
        #[test]
        fn slices_taken_in_any_steps_follow_the_byte_by_byte_definition(
            seed: u64,
            connection in 0_u32..100_000,
            steps in prop::collection::vec(0_usize..=SLICE_BYTES_MAX, 1..8),
        ) {
            let payload = Payload::new(seed);
            let mut cursor = payload.start(connection);
            let mut position = 0_u64;
            for step in steps {
                let slice = payload.slice(cursor, step as u64);
                let probes = [0, step / 2, step.saturating_sub(1)];
                for probe in probes.into_iter().filter(|&probe| probe < step) {
                    let expected = byte_at(&payload, connection, position + probe as u64);
                    prop_assert_eq!(slice[probe], expected);
                }
                cursor.advance(step);
                position += step as u64;
            }
        }
    }
}
