//! The straight line through points, and how well it fits.

/// The least-squares line through points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FittedLine {
    /// Units of y by unit of x.
    pub(crate) slope: f64,
    /// Pearson's coefficient, from -1 to 1; 0 where y does not change.
    pub(crate) correlation: f64,
}

impl FittedLine {
    /// Through `points`, if they are at least two with different x.
    pub(crate) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
        let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points.iter().map(|point| (point.0 - mean_x, point.1 - mean_y)) {
            xx += x * x;
            xy += x * y;
            yy += y * y;
        }
        let correlation = if yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 };
        (xx > 0.0).then(|| Self { slope: xy / xx, correlation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_its_slope_and_fit_perfectly() {
        let points: Vec<_> = (0..9).map(|x| (f64::from(x), 7.0 - 2.0 * f64::from(x))).collect();
        let line = FittedLine::through(&points).unwrap();
        assert!((line.slope + 2.0).abs() < 1e-12 && (line.correlation + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_bump_in_the_middle_is_no_slope() {
        let line = FittedLine::through(&[(0.0, 0.0), (1.0, 9.0), (2.0, 0.0)]).unwrap();
        assert_eq!((line.slope, line.correlation), (0.0, 0.0));
    }

    #[test]
    fn a_known_sample_has_its_known_line() {
        // Slope 0.6 and r = 0.6 / sqrt(0.6): computed by hand from sums 10, 6, 6.
        let points = [(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)];
        let line = FittedLine::through(&points).unwrap();
        assert!((line.slope - 0.6).abs() < 1e-12);
        assert!((line.correlation - 0.6_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn too_few_points_have_no_line() {
        assert_eq!(FittedLine::through(&[]), None);
        assert_eq!(FittedLine::through(&[(1.0, 1.0)]), None);
        assert_eq!(FittedLine::through(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
