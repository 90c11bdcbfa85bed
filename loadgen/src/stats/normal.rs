//! The standard normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// What a 95 % confidence interval leaves out at each end.
pub(super) const TAIL: f64 = 0.025;

/// Argument at which the series and the continued fraction are equally accurate.
const SERIES_UP_TO: f64 = 2.5;

/// Probability that a standard normal value lies further from zero than `z`, on either side.
pub(super) fn two_sided_tail(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    if x < SERIES_UP_TO { 1.0 - erf_series(x) } else { erfc_fraction(x) }
}

/// erf by its Maclaurin series, all of whose terms are positive in this form:
/// 2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)).
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// erfc by its continued fraction: exp(-x²)/√π · 1/(x + ½/(x + 1/(x + 1½/(x + …)))).
fn erfc_fraction(x: f64) -> f64 {
    let denominator = (1..100).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / PI.sqrt() / denominator
}

/// The distance from zero beyond which a standard normal value lies with this probability, on
/// either side: the inverse of [`two_sided_tail`], by bisection.
pub(super) fn two_sided_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if two_sided_tail(middle) > probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_published_tables() {
        for (z, tail) in [
            (0.0, 1.0),
            (1.0, 0.317_310_507_862_914),
            (1.959_963_984_540_054, 0.05),
            (-2.575_829_303_548_901, 0.01),
            (5.0, 5.733_031_437_583_89e-7),
        ] {
            assert!((two_sided_tail(z) / tail - 1.0).abs() < 1e-9, "{z}: {}", two_sided_tail(z));
        }
    }

    #[test]
    fn the_two_formulas_meet() {
        let (series, fraction) = (1.0 - erf_series(SERIES_UP_TO), erfc_fraction(SERIES_UP_TO));
        assert!((series / fraction - 1.0).abs() < 1e-9, "{series} {fraction}");
    }

    #[test]
    fn quantiles_are_those_of_published_tables() {
        for (probability, z) in
            [(0.05, 1.959_963_985), (0.01, 2.575_829_304), (0.4, 0.841_621_234), (1.0, 0.0)]
        {
            let found = two_sided_quantile(probability);
            assert!((found - z).abs() < 1e-8, "{probability}: {found}");
        }
    }
}
