//! One of several sizes, some more often than others.

use super::below;

/// Sizes and how often each comes, in the order they were given in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    /// A size in bytes, its weight, and the sum of the weights up to it.
    sizes: Vec<(u64, u32, u64)>,
    total: u64,
}

impl Weights {
    /// These sizes with these weights: at least one, each weight at least 1.
    pub(super) fn new(weights: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut total = 0;
        let sizes = weights.into_iter().map(|(size, weight)| {
            total += u64::from(weight);
            (size, weight, total)
        });
        Self { sizes: sizes.collect(), total }
    }

    /// Sizes and weights as they were given.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.sizes.iter().map(|&(size, weight, _)| (size, weight))
    }

    /// The size for a random number.
    pub(super) fn pick(&self, number: u64) -> u64 {
        let place = below(self.total, number);
        let index = self.sizes.partition_point(|&(_, _, up_to)| up_to <= place);
        self.sizes[index].0
    }

    /// The mean size.
    pub(super) fn mean_bytes(&self) -> f64 {
        let sum = self.iter().map(|(size, weight)| size as f64 * f64::from(weight)).sum::<f64>();
        sum / self.total as f64
    }
}
