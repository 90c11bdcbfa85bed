//! Line plots as SVG, drawn by hand: the same numbers give the same bytes.

/// One picture.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What a reader must know beside the title: who measured what, on what.
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One direction of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub(crate) label: String,
    pub(crate) scale: Scale,
}

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    Log,
    /// Quantiles by 1 / (1 - q): 50 %, 90 %, 99 %, 99.9 % at equal distances.
    Percentile,
    /// The values themselves as evenly spaced names, such as worker counts.
    Category,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// One point, with the range that the runs behind it have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
}

impl Chart {
    /// The picture as a self-contained SVG document.
    pub(crate) fn svg(&self) -> String {
        String::new()
    }
}
