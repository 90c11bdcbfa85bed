//! Fairness: how evenly the shards share the work.
//!
//! Jain's index of `n` shares is `(Σx)² / (n · Σx²)` (Jain, Chiu, Hawe 1984). It is 1 when all are
//! equal and `1/n` when one has everything. It is also the fraction of shards that would suffice if
//! all were equal. The maximum over the mean shows how overloaded the worst shard is, which
//! determines the tail latency.

use serde::Serialize;

use super::{ServerStats, ShardStats};

/// How evenly one quantity is shared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fairness {
    /// Jain's index, from `1/n` to 1.
    pub jain: f64,
    /// The largest share over the mean, from 1 to `n`.
    pub max_over_mean: f64,
}

impl Fairness {
    /// All shares are equal.
    pub const EVEN: Self = Self { jain: 1.0, max_over_mean: 1.0 };

    /// Computes the fairness of these shares, which are not negative. It is [`EVEN`](Self::EVEN) if
    /// there are none, or if all are zero.
    #[must_use]
    pub fn of(shares: &[f64]) -> Self {
        let max = shares.iter().copied().fold(0.0, f64::max);
        if max == 0.0 {
            return Self::EVEN;
        }
        // Relative to the largest, so that no square overflows.
        let scaled = shares.iter().map(|share| share / max);
        let (sum, squares) =
            scaled.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        let n = shares.len() as f64;
        Self { jain: sum * sum / (n * squares), max_over_mean: n / sum }
    }
}

/// How evenly the shards share their work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Balance {
    /// Of the connections open now, over all shards.
    pub open: Fairness,
    /// Of all adopted connections, over the shards that answered. So are the following.
    pub connections: Fairness,
    /// Of all bytes, in and out.
    pub bytes: Fairness,
    /// Of the recent busy time.
    pub busy: Fairness,
}

impl Balance {
    /// Each by its name.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, Fairness); 4] {
        [
            ("open", self.open),
            ("connections", self.connections),
            ("bytes", self.bytes),
            ("busy", self.busy),
        ]
    }
}

impl ServerStats {
    /// How evenly the shards share their work. The work of a shard that did not answer is unknown,
    /// so it counts only with its open connections.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let over_answered = |share: fn(&ShardStats) -> f64| {
            let answered = self.shards.iter().filter(|shard| shard.answered);
            Fairness::of(&answered.map(share).collect::<Vec<_>>())
        };
        let open = self.shards.iter().map(|shard| shard.open as f64).collect::<Vec<_>>();
        Balance {
            open: Fairness::of(&open),
            connections: over_answered(|shard| shard.connections as f64),
            bytes: over_answered(|shard| shard.bytes_in as f64 + shard.bytes_out as f64),
            busy: over_answered(|shard| shard.busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn expect(shares: &[f64], jain: f64, max_over_mean: f64) {
        let found = Fairness::of(shares);
        let is_near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(
            is_near(found.jain, jain) && is_near(found.max_over_mean, max_over_mean),
            "{found:?}"
        );
    }

    #[test]
    fn known_shares_have_their_known_fairness() {
        expect(&[7.0, 7.0, 7.0], 1.0, 1.0);
        expect(&[5.0], 1.0, 1.0);
        expect(&[1.0, 0.0, 0.0, 0.0], 0.25, 4.0);
        expect(&[1.0, 1.0, 0.0, 0.0], 0.5, 2.0);
        expect(&[1.0, 2.0, 3.0], 36.0 / 42.0, 1.5);
        expect(&[f64::MAX / 2.0, f64::MAX / 2.0], 1.0, 1.0);
    }

    #[test]
    fn nothing_to_share_is_shared_evenly() {
        expect(&[], 1.0, 1.0);
        expect(&[0.0, 0.0], 1.0, 1.0);
    }

    #[test]
    fn what_a_silent_shard_did_is_not_taken_for_nothing() {
        let shard = ShardStats { answered: true, open: 2, connections: 9, ..Default::default() };
        let silent = ShardStats { open: 4, ..Default::default() };
        let stats =
            ServerStats { shards: vec![shard.clone(), shard, silent], ..Default::default() };
        let balance = stats.balance();
        assert_eq!(balance.connections, Fairness::EVEN);
        assert_eq!(balance.open.max_over_mean, 1.5);
    }

    proptest! {
        #[test]
        fn every_index_is_within_its_bounds_and_blind_to_order_and_unit(
            mut shares in prop::collection::vec(0u32.., 1..40),
            unit in 1u32..1000,
        ) {
            let of = |shares: &[u32], unit: u32| {
                let shares = shares.iter().map(|&share| f64::from(share) * f64::from(unit));
                Fairness::of(&shares.collect::<Vec<_>>())
            };
            let found = of(&shares, 1);
            let n = shares.len() as f64;
            let slack = 1e-9;
            prop_assert!(found.jain >= 1.0 / n - slack && found.jain <= 1.0 + slack);
            prop_assert!(found.max_over_mean >= 1.0 - slack && found.max_over_mean <= n + slack);
            shares.reverse();
            let other = of(&shares, unit);
            prop_assert!((found.jain - other.jain).abs() < slack);
            prop_assert!((found.max_over_mean - other.max_over_mean).abs() < slack * n);
        }
    }
}
