//! Numbers that no two shards of a server give: each shard counts in steps of their number.

use std::num::NonZeroU64;

/// The numbers that one shard gives.
#[derive(Debug)]
pub(in crate::server) struct ShardNumbers {
    next: NonZeroU64,
    shards: u64,
}

impl ShardNumbers {
    /// Those of this shard of so many.
    pub(in crate::server) fn new(shard: usize, shards: usize) -> Self {
        Self { next: NonZeroU64::MIN.saturating_add(shard as u64), shards: shards as u64 }
    }

    /// A number that was never given.
    pub(in crate::server) fn next(&mut self) -> NonZeroU64 {
        let number = self.next;
        self.next = number.checked_add(self.shards).expect("2^64 numbers take centuries");
        number
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_shards_give_the_same_number() {
        let mut given = HashSet::new();
        for shard in 0..3 {
            let mut numbers = ShardNumbers::new(shard, 3);
            assert!((0..1000).all(|_| given.insert(numbers.next())));
        }
    }
}
