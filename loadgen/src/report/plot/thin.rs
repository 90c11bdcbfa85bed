//! Long lines with fewer points, and the same peaks.

use super::Point;

/// About the most points of a line; a picture is not much wider in pixels.
const POINTS_MAX: usize = 300;

/// The points, or of each group of neighbours the lowest and the highest in their order. Breaks of
/// the line stay where they are.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let group = points.len().div_ceil(POINTS_MAX / 2);
    let pieces = points.split(|point| !point.y.is_finite());
    let thinned = pieces.map(|piece| piece.chunks(group).flat_map(extremes).collect());
    thinned.collect::<Vec<Vec<Point>>>().join(&Point::BREAK)
}

fn extremes(group: &[Point]) -> Vec<Point> {
    let by_height = |a: &usize, b: &usize| group[*a].y.total_cmp(&group[*b].y);
    let lowest = (0..group.len()).min_by(by_height).unwrap_or(0);
    let highest = (0..group.len()).max_by(by_height).unwrap_or(0);
    match lowest == highest {
        true => vec![group[lowest]],
        false => vec![group[lowest.min(highest)], group[lowest.max(highest)]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_order_and_its_peak() {
        let height = |n: i32| if n == 6_789 { 50.0 } else { f64::from(n % 7) };
        let points: Vec<Point> = (0..10_000).map(|n| Point::at(f64::from(n), height(n))).collect();
        let thinned = thinned(&points);
        assert!(thinned.len() <= POINTS_MAX && thinned.len() > POINTS_MAX / 2);
        assert!(thinned.windows(2).all(|pair| pair[0].x < pair[1].x));
        assert!(thinned.contains(&Point::at(6_789.0, 50.0)));
    }

    #[test]
    fn a_line_still_breaks_where_it_did() {
        let height = |n: i32| if n == 500 { f64::NAN } else { 1.0 };
        let points: Vec<Point> = (0..1_000).map(|n| Point::at(f64::from(n), height(n))).collect();
        let thinned = thinned(&points);
        let breaks = thinned.iter().position(|point| point.y.is_nan()).unwrap();
        assert!(thinned[breaks - 1].x < 500.0 && thinned[breaks + 1].x > 500.0);
    }

    #[test]
    fn a_short_line_stays_as_it_is() {
        let points: Vec<Point> = (0..300).map(|n| Point::at(f64::from(n), 1.0)).collect();
        assert_eq!(thinned(&points), points);
    }
}
