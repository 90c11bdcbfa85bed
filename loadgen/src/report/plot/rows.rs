//! Medians with their ranges, one in a row, so that names of any length are legible.
//!
//! The picture is described as JSON, which `loadgen plot` reads: see its help.

use std::fmt::Write as _;

use serde::Deserialize;

use super::axis::Ruler;
use super::draw::{GAP, LINE_HEIGHT, MARGIN, WIDTH, document, line, mark, meanings};
use super::draw::{text, width, wrapped};
use super::{Axis, Scale, Unit};
use crate::record::Verdict;
use crate::units;

/// Most of the picture's width that names take. Longer ones have several lines.
const NAMES_MAX: f64 = 0.4 * WIDTH;
/// Between two rows.
const ROW_GAP: f64 = 7.0;
/// Half of the line at each end of a range.
const END: f64 = 4.0;

/// Charts below one another, with one caption.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picture {
    title: String,
    #[serde(default)]
    caption: String,
    charts: Vec<RowChart>,
}

/// Rows with the same axis.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowChart {
    title: String,
    /// What the values are, and their unit.
    label: String,
    /// What the names of the rows are.
    #[serde(default)]
    names: String,
    /// A value to compare with.
    #[serde(default)]
    target: Option<f64>,
    /// Whether the axis begins at zero, and not near the smallest value.
    #[serde(default = "yes")]
    from_zero: bool,
    rows: Vec<Row>,
}

/// A median, and the range of the values behind it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    median: f64,
    low: f64,
    high: f64,
    #[serde(default = "valid")]
    verdict: Verdict,
}

fn yes() -> bool {
    true
}

fn valid() -> Verdict {
    Verdict::Valid
}

/// Whether a value has a place on an axis, and a name there.
fn is_drawable(value: f64) -> bool {
    value == 0.0 || (1e-12..=1e15).contains(&value.abs())
}

impl Picture {
    /// The picture that a text describes; the complaint says where it is wrong.
    pub(crate) fn parse(description: &str) -> Result<Self, String> {
        let picture: Self = serde_json::from_str(description).map_err(|error| error.to_string())?;
        if picture.charts.is_empty() {
            return Err("\"charts\" is empty; a picture needs at least one".to_owned());
        }
        for chart in &picture.charts {
            if chart.rows.is_empty() {
                return Err(format!("chart {:?} has no \"rows\"", chart.title));
            }
            let values = chart.rows.iter().flat_map(|row| [row.low, row.median, row.high]);
            if let Some(value) = values.chain(chart.target).find(|value| !is_drawable(*value)) {
                let bounds = "values are 0, or from 1e-12 to 1e15; use another unit";
                return Err(format!("chart {:?}: {value:e}: {bounds}", chart.title));
            }
            for Row { name, median, low, high, .. } in &chart.rows {
                if low > high {
                    return Err(format!("row {name:?}: low {low} is above high {high}"));
                }
                // The ends of an interval are computed, and may miss the median by a rounding.
                let slack = 1e-9 * median.abs();
                if *low > median + slack || *high < median - slack {
                    let range = format!("from {low} to {high}");
                    return Err(format!("row {name:?}: the median {median} is not in {range}"));
                }
            }
        }
        Ok(picture)
    }

    /// The picture as a self-contained SVG document.
    pub(crate) fn svg(&self) -> String {
        let mut body = String::new();
        let mut y = MARGIN + LINE_HEIGHT;
        text(&mut body, "title", "start", MARGIN, y, &self.title);
        for line in wrapped(&self.caption, WIDTH - 2.0 * MARGIN) {
            y += LINE_HEIGHT;
            text(&mut body, "muted", "start", MARGIN, y, &line);
        }
        let rows = || self.charts.iter().flat_map(|chart| &chart.rows);
        y = meanings(&mut body, rows().map(|row| row.verdict), y);
        let widest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
        let headings = self.charts.iter().map(|chart| &chart.names);
        let names = headings.chain(rows().map(|row| &row.name));
        let names = widest(&mut names.map(|name| width(name))).min(NAMES_MAX);
        let values = widest(&mut rows().map(|row| width(&row.value())));
        let left = MARGIN + names + GAP;
        let columns = Columns { left, width: WIDTH - left - values - 2.0 * GAP - MARGIN, names };
        for chart in &self.charts {
            y = chart.draw(&mut body, y + 2.0 * LINE_HEIGHT, columns);
        }
        document(&self.title, y + MARGIN, &body)
    }
}

/// Where the rows have their values: right of the names, left of the values as text.
#[derive(Debug, Clone, Copy)]
struct Columns {
    left: f64,
    width: f64,
    /// Width of the names.
    names: f64,
}

impl RowChart {
    /// Draws the chart from this height on; returns where it ends.
    fn draw(&self, out: &mut String, title_y: f64, columns: Columns) -> f64 {
        let scale = if self.from_zero { Scale::Linear } else { Scale::Range };
        let axis = Axis::new(&self.label, Unit::Count, scale);
        let ends = self.rows.iter().flat_map(|row| [row.low, row.high]);
        let ruler = Ruler::new(&axis, ends.chain(self.target));
        let x = |value| columns.left + ruler.place(value).unwrap_or(0.0) * columns.width;
        text(out, "strong", "start", MARGIN, title_y, &self.title);
        let top = title_y + 1.2 * LINE_HEIGHT;
        text(out, "muted", "end", columns.left - GAP, top - 4.0, &self.names);
        let names: Vec<Vec<String>> =
            self.rows.iter().map(|row| wrapped(&row.name, columns.names + 1.0)).collect();
        let height = |lines: &Vec<String>| lines.len().max(1) as f64 * LINE_HEIGHT + ROW_GAP;
        let bottom = top + names.iter().map(height).sum::<f64>();
        for tick in ruler.ticks() {
            let x = columns.left + tick.place * columns.width;
            line(out, "grid", (x, top), (x, bottom));
            text(out, "", "middle", x, bottom + LINE_HEIGHT, &tick.label);
        }
        if let Some(target) = self.target {
            line(out, "target", (x(target), top), (x(target), bottom));
            let label = format!("target {}", three_digits(target));
            text(out, "target", "middle", x(target), top - 4.0, &label);
        }
        let mut row_top = top;
        for (row, name) in self.rows.iter().zip(&names) {
            let middle = row_top + height(name) / 2.0;
            let first = middle - (name.len() as f64 - 1.0) / 2.0 * LINE_HEIGHT + 4.5;
            for (number, part) in name.iter().enumerate() {
                let y = first + number as f64 * LINE_HEIGHT;
                text(out, "", "end", columns.left - GAP, y, part);
            }
            let _ = writeln!(
                out,
                r#"<path class="range s0" d="M{:.1} {:.1}v{}m0-{END}H{:.1}m0-{END}v{}"/>"#,
                x(row.low),
                middle - END,
                2.0 * END,
                x(row.high),
                2.0 * END
            );
            mark(out, (x(row.median), middle), Some(0), row.verdict);
            let values_x = columns.left + columns.width + 2.0 * GAP;
            text(out, "", "start", values_x, middle + 4.5, &row.value());
            row_top += height(name);
        }
        let label_y = bottom + 2.1 * LINE_HEIGHT;
        text(out, "muted", "middle", columns.left + columns.width / 2.0, label_y, &self.label);
        label_y
    }
}

impl Row {
    /// The median, and the range if there is one, as text.
    fn value(&self) -> String {
        let [median, low, high] = [self.median, self.low, self.high].map(three_digits);
        if self.low == self.high { median } else { format!("{median} [{low}..{high}]") }
    }
}

/// A number with three digits that mean something, or all before its point.
fn three_digits(value: f64) -> String {
    if value.abs() >= 1000.0 {
        let sign = if value < 0.0 { "\u{2212}" } else { "" };
        return format!("{sign}{}", units::grouped(value.abs().round() as u64));
    }
    // 0.9999 is written as 1.00: what counts is the number after rounding.
    let magnitude = if value == 0.0 { 0.0 } else { (value.abs() * 1.0005).log10().floor() };
    let decimals = (2.0 - magnitude).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::markup::tests::expect_well_formed;

    fn picture(charts: &str) -> Result<Picture, String> {
        Picture::parse(&format!(r#"{{"title": "T", "caption": "C", "charts": [{charts}]}}"#))
    }

    fn chart(more: &str, rows: &str) -> String {
        format!(r#"{{"title": "<a & b>", "label": "µs"{more}, "rows": [{rows}]}}"#)
    }

    const ROW: &str = r#"{"name": "one", "median": 1.1, "low": 0.9, "high": 1.25}"#;

    #[test]
    fn a_picture_has_the_names_the_values_and_the_target_of_its_charts() {
        let long = r#"{"name": "a name of many words that needs more than one line to be written",
            "median": 12345.6, "low": 12345.6, "high": 12345.6}"#;
        let both = [
            chart("", &format!("{ROW}, {long}")),
            chart(r#", "target": 1.05, "names": "server""#, ROW),
        ];
        let svg = picture(&both.join(",")).unwrap().svg();
        expect_well_formed(&svg);
        for text in
            [">T<", ">C<", ">one<", ">server<", "1.10 [0.900..1.25]", ">12,346<", ">target 1.05<"]
        {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert_eq!(svg.matches("&lt;a &amp; b&gt;").count(), 2, "{svg}");
        assert!(!svg.contains("many words that needs more than one line to be written"));
        assert!(!svg.contains("hollow: SUSPECT"), "all are VALID");
    }

    #[test]
    fn a_row_that_is_not_valid_has_another_mark_which_is_explained() {
        let with = |verdict: &str| ROW.replace('}', &format!(r#", "verdict": "{verdict}"}}"#));
        let rows = ["VALID", "SUSPECT", "INVALID"].map(with).join(",");
        let svg = picture(&chart("", &rows)).unwrap().svg();
        assert_eq!(svg.matches(r#"class="s0 hollow""#).count(), 2, "{svg}");
        assert_eq!(svg.matches(r#"class="s0 cross""#).count(), 1, "{svg}");
        assert!(svg.contains("hollow: SUSPECT") && svg.contains("crossed out: INVALID"), "{svg}");
    }

    #[test]
    fn an_interval_that_misses_its_median_by_a_rounding_was_refused() {
        let row = ROW.replace("1.1", "1").replace("1.25", "0.9999999999999999");
        assert!(picture(&chart("", &row)).unwrap().svg().contains(">1.00 [0.900..1.00]<"));
    }

    #[test]
    fn an_axis_begins_at_zero_or_near_the_smallest_value() {
        let from_zero = picture(&chart("", ROW)).unwrap().svg();
        let near = picture(&chart(r#", "from_zero": false"#, ROW)).unwrap().svg();
        assert!(from_zero.contains(">0<") && !near.contains(">0<"), "{near}");
    }

    #[test]
    fn a_description_that_is_wrong_is_refused_with_the_place() {
        for (charts, complaint) in [
            ("", "\"charts\" is empty"),
            (&chart("", ""), "chart \"<a & b>\" has no \"rows\""),
            (&chart("", &ROW.replace("0.9", "1.2")), "the median 1.1 is not in from 1.2 to 1.25"),
            (&chart("", &ROW.replace("0.9", "1.3")), "low 1.3 is above high 1.25"),
            (&chart("", &ROW.replace("1.25", "1e300")), "1e300: values are 0, or from 1e-12 to"),
            (&chart(r#", "target": 5e-324"#, ROW), "5e-324: values are 0, or from 1e-12 to"),
            (&chart(r#", "colour": "red""#, ROW), "unknown field `colour`"),
            ("{", "key must be a string"),
        ] {
            let found = picture(charts).unwrap_err();
            assert!(found.contains(complaint), "{found}");
        }
    }

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let texts = [0.0, 0.01234, 0.5, 1.0, 12.34, 999.9, 1234.5, 84_000.0, -3.25];
        let expected =
            ["0.00", "0.0123", "0.500", "1.00", "12.3", "1000", "1,235", "84,000", "−3.25"];
        assert_eq!(texts.map(three_digits), expected);
    }
}
