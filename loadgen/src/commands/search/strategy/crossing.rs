//! An estimate of the rate at which the objectives are just met.
//!
//! At each rate, the distance from the limit is known in standard errors of a plain probe, and the
//! more probes, the better. Close to the limit it falls about in proportion to the rate's
//! logarithm. So a straight line through the rates, weighted by their length and their distance,
//! is zero at the limit. It only chooses what to try next: it decides nothing.

use super::RateFinding;

/// Rates count that are within this factor of the centre, as a logarithm; nearer ones more.
const REACH: f64 = 0.4;

/// How often the centre is moved to the estimate.
const ROUNDS: usize = 4;

/// The rate, and the standard error of its logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crossing {
    pub(super) rate_per_s: f64,
    pub(super) error: f64,
}

impl Crossing {
    /// Estimated from these rates, near this one; nothing if they show no fall.
    pub(super) fn near(rates: &[RateFinding], centre_per_s: f64) -> Option<Self> {
        let mut found = Self { rate_per_s: centre_per_s, error: f64::INFINITY };
        for _ in 0..ROUNDS {
            found = Self::by_line(rates, found.rate_per_s)?;
        }
        Some(found)
    }

    fn by_line(rates: &[RateFinding], centre_per_s: f64) -> Option<Self> {
        let points = rates.iter().filter_map(|rate| {
            let lean = rate.lean.filter(|lean| lean.length > 0.0)?;
            let x = (rate.rate_per_s / centre_per_s).ln();
            let near = 1.0 - (x / REACH).powi(2);
            (near > 0.0).then(|| (lean.length * near.powi(2), x, lean.errors / lean.length.sqrt()))
        });
        let points: Vec<(f64, f64, f64)> = points.collect();
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(weight, x, y)| weight * of(x, y)).sum()
        };
        let all = sum(&|_, _| 1.0);
        let (mean_x, mean_y) = (sum(&|x, _| x) / all, sum(&|_, y| y) / all);
        let spread = sum(&|x, _| (x - mean_x).powi(2));
        let slope = sum(&|x, y| (x - mean_x) * (y - mean_y)) / spread;
        if slope.is_nan() || slope >= 0.0 {
            return None;
        }
        let x = mean_x - mean_y / slope;
        if x.abs() > REACH {
            return None;
        }
        let error = (1.0 / all + (x - mean_x).powi(2) / spread).sqrt() / -slope;
        Some(Self { rate_per_s: centre_per_s * x.exp(), error })
    }
}
