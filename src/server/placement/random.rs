//! Small random numbers for placement: the same for the same seed, and good enough to take two of
//! a few shards.

/// Marsaglia's xorshift with the shifts 13, 7 and 17.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // The generator stays at zero for ever if it starts there; neighbouring seeds must differ.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`, which is not zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // Use the high half, because the low bits of xorshift are weak. Shards are far fewer than
        // 2^32.
        (((self.0 >> 32) * end as u64) >> 32) as usize
    }
}
