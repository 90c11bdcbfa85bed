//! Plots as SVG, drawn by hand: the same numbers give the same bytes.
//!
//! A chart is one file without references to others, and follows the reader's preference for
//! light or dark. The colours suit the colour-blind, and every series has marks of its own shape.

mod axis;
pub(crate) mod charts;
mod draw;
mod rows;

pub(crate) use self::rows::Picture;

use crate::record::Verdict;

/// One chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// The line directly below the title, in the colour of its verdict: the verdict on what is
    /// shown, and its first reason.
    pub(crate) verdict: (Verdict, String),
    /// The text below that: the plan and the machine. Lines that are too long are broken.
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One direction of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What it shows.
    pub(crate) label: String,
    /// What its values are.
    pub(crate) unit: Unit,
    pub(crate) scale: Scale,
    /// For [`Scale::Category`]: the names of the values 0, 1, 2, ... Without names a value is
    /// shown as the number it is.
    pub(crate) names: Vec<String>,
}

impl Axis {
    /// An axis of numbers.
    pub(crate) fn new(label: &str, unit: Unit, scale: Scale) -> Self {
        Self { label: label.to_owned(), unit, scale, names: Vec::new() }
    }
}

/// What the values of an axis are, and so how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A number of things, or a ratio.
    Count,
    Nanoseconds,
    Seconds,
    /// Written as 500, 20k, 1.5M.
    PerSecond,
    /// A share of one, written as a percentage.
    Share,
}

/// How values become positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero, or from below it if there are values.
    Linear,
    /// From the smallest value to the largest.
    Range,
    /// Values that are not positive are left out.
    Log,
    /// Quantiles by 1 / (1 - q): 50 %, 90 %, 99 %, 99.9 % at equal distances. 1 is off the scale.
    Percentile,
    /// The distinct values in rising order, evenly spaced, such as worker counts.
    Category,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// In the order of the line, which breaks at a point without a position.
    pub(crate) points: Vec<Point>,
}

/// One point, with the range that the runs behind it have, and the worst of their verdicts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    /// A point that is not VALID has another mark, which the legend explains.
    pub(crate) verdict: Verdict,
}

impl Point {
    /// A VALID point without a range.
    pub(crate) fn at(x: f64, y: f64) -> Self {
        Self { x, y, ..Self::BREAK }
    }

    /// Where a line breaks.
    pub(crate) const BREAK: Self =
        Self { x: f64::NAN, y: f64::NAN, low: None, high: None, verdict: Verdict::Valid };
}

impl Chart {
    /// The chart as a self-contained SVG document.
    pub(crate) fn svg(&self) -> String {
        draw::svg(self)
    }
}

/// Approximate maximum number of points of a line; a chart is not much wider in pixels.
const POINTS_MAX: usize = 300;

/// The points, or of each group of neighbours the lowest and the highest in their order. Breaks of
/// the line stay where they are.
fn thinned(points: &[Point]) -> Vec<Point> {
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
mod tests;
