//! A chart as SVG elements: positions and styles.

use std::fmt::Write as _;

use super::axis::{Ruler, Tick};
use super::{Chart, Point, Scale, Series, thinned};
use crate::record::Verdict;
use crate::report::markup::escape;

pub(super) const WIDTH: f64 = 860.0;
const PLOT_HEIGHT: f64 = 340.0;
/// Beside everything.
pub(super) const MARGIN: f64 = 18.0;
pub(super) const LINE_HEIGHT: f64 = 18.0;
const FONT_SIZE: f64 = 13.0;
/// Width of a character by the font's size: more than most fonts need, so that texts never meet.
const CHARACTER: f64 = 0.62;
/// Between the end of an axis and its marks' texts.
pub(super) const GAP: f64 = 8.0;
/// Length of a line in the legend.
const SWATCH: f64 = 26.0;
/// A series with at most this many points marks them all, a longer one about a dozen.
const MARKS_MAX: usize = 60;
const MARKS_OF_MANY: usize = 12;
/// Between ranges of several series at one category.
const DODGE: f64 = 10.0;
/// Instead of axes, whose ends would be invented.
const NO_POINTS: &str = "No points: nothing was measured that this plot could show.";
/// Okabe and Ito's colours for the colour-blind: on light ground, on dark ground.
const COLOURS: [(&str, &str); 6] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8a4c"),
    ("#009e73", "#2fd3a5"),
    ("#b0568f", "#e39bc6"),
    ("#a87900", "#f0c040"),
    ("#444444", "#cccccc"),
];

/// The document.
pub(super) fn svg(chart: &Chart) -> String {
    let series: Vec<Series> = chart
        .series
        .iter()
        .map(|series| Series { name: series.name.clone(), points: thinned(&series.points) })
        .collect();
    let points = || series.iter().flat_map(|series| &series.points);
    let heights = points().flat_map(|p| [Some(p.y), p.low, p.high]).flatten();
    let area = PlotArea::new(chart, points().map(|point| point.x), heights);
    let mut body = String::new();
    let mut y = MARGIN + LINE_HEIGHT;
    text(&mut body, "title", "start", MARGIN, y, &chart.title);
    let (verdict, reason) = &chart.verdict;
    for (class, lines) in [(class_of(*verdict), reason), ("muted", &chart.caption)] {
        for line in lines.lines().flat_map(|line| wrapped(line, WIDTH - 2.0 * MARGIN)) {
            y += LINE_HEIGHT;
            text(&mut body, class, "start", MARGIN, y, &line);
        }
    }
    y = legend(&mut body, &series, y + 1.5 * LINE_HEIGHT) + 1.5 * LINE_HEIGHT;
    text(&mut body, "muted", "start", MARGIN, y, &chart.y.label);
    let top = y + LINE_HEIGHT;
    let _ = writeln!(body, r#"<g transform="translate({:.1} {top:.1})">"#, area.left);
    match points().any(|point| area.place(point.x, point.y).is_some()) {
        true => area.axes(&mut body, &chart.x.label),
        false => text(&mut body, "muted", "start", 0.0, LINE_HEIGHT, NO_POINTS),
    }
    for (index, one) in series.iter().enumerate() {
        area.series(&mut body, one, index, series.len());
    }
    body += "</g>\n";
    document(&chart.title, top + PLOT_HEIGHT + 2.5 * LINE_HEIGHT + MARGIN, &body)
}

/// A document of this height with these elements.
pub(super) fn document(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>{}</title>\n<style>{}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        escape(title),
        style(),
    )
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "muted",
        Verdict::Suspect => "suspect",
        Verdict::Invalid => "invalid",
    }
}

fn style() -> String {
    let (mut light, mut dark) = (String::new(), String::new());
    for (index, (on_light, on_dark)) in COLOURS.into_iter().enumerate() {
        let _ = write!(light, ".s{index}{{stroke:{on_light};fill:{on_light}}}");
        let _ = write!(dark, ".s{index}{{stroke:{on_dark};fill:{on_dark}}}");
    }
    format!(
        "text{{font:{FONT_SIZE}px system-ui,sans-serif;fill:#222}}text.title{{font-size:16px;\
         font-weight:600}}text.strong{{font-weight:600}}\
         text.muted{{fill:#5c5c5c}}text.suspect{{fill:#8a5a00;font-weight:600}}\
         text.invalid{{fill:#b3261e;font-weight:600}}text.target{{fill:#b3261e}}\
         path.target{{stroke:#b3261e;stroke-dasharray:6 4}}\
         .ground{{fill:#fff}}.grid{{stroke:#e2e2e2}}\
         .axis{{stroke:#8a8a8a}}.line{{fill:none;stroke-width:2;stroke-linejoin:round}}\
         .range{{stroke-width:1.5;fill:none}}{light}.line,.range,.cross{{fill:none}}\
         .cross{{stroke-width:1.8}}.hollow{{fill:#fff;stroke-width:1.8}}.any{{stroke:#222}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6e6e6}}text.muted{{fill:#a8a8a8}}\
         text.suspect{{fill:#f0c040}}text.invalid,text.target{{fill:#ff8a80}}\
         path.target{{stroke:#ff8a80}}\
         .ground{{fill:#16181c}}.grid{{stroke:#30343a}}.axis{{stroke:#777}}{dark}\
         .line,.range,.cross{{fill:none}}.hollow{{fill:#16181c}}.any{{stroke:#e6e6e6}}}}"
    )
}

/// The rectangle in which values are drawn.
struct PlotArea<'a> {
    x: Ruler<'a>,
    y: Ruler<'a>,
    y_ticks: Vec<Tick>,
    /// Of the rectangle, from the chart's left side.
    left: f64,
    width: f64,
    categories: bool,
}

impl<'a> PlotArea<'a> {
    fn new(chart: &'a Chart, xs: impl Iterator<Item = f64>, ys: impl Iterator<Item = f64>) -> Self {
        let (x, y) = (Ruler::new(&chart.x, xs), Ruler::new(&chart.y, ys));
        let y_ticks = y.ticks();
        let widest = y_ticks.iter().map(|tick| width(&tick.label)).fold(0.0, f64::max);
        let left = MARGIN + widest + GAP;
        // Half of the last mark's text lies beyond the end.
        let right = x.ticks().last().map_or(0.0, |tick| width(&tick.label) / 2.0) + MARGIN;
        let categories = chart.x.scale == Scale::Category;
        Self { x, y, y_ticks, left, width: WIDTH - left - right, categories }
    }

    /// The position of a point, from the upper left corner of the rectangle.
    fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.x.place(x)? * self.width, (1.0 - self.y.place(y)?) * PLOT_HEIGHT))
    }

    fn axes(&self, out: &mut String, x_label: &str) {
        for tick in &self.y_ticks {
            let y = (1.0 - tick.place) * PLOT_HEIGHT;
            line(out, "grid", (0.0, y), (self.width, y));
            text(out, "", "end", -GAP, y + 4.5, &tick.label);
        }
        let mut free_from = f64::NEG_INFINITY;
        for tick in self.x.ticks() {
            let (x, half) = (tick.place * self.width, width(&tick.label) / 2.0);
            if !self.categories {
                line(out, "grid", (x, 0.0), (x, PLOT_HEIGHT));
            }
            if x - half >= free_from {
                text(out, "", "middle", x, PLOT_HEIGHT + LINE_HEIGHT, &tick.label);
                free_from = x + half + GAP;
            }
        }
        line(out, "axis", (0.0, PLOT_HEIGHT), (self.width, PLOT_HEIGHT));
        let y = PLOT_HEIGHT + 2.25 * LINE_HEIGHT;
        text(out, "muted", "middle", self.width / 2.0, y, x_label);
    }

    /// A series' line, ranges and marks. At a category the series stand side by side.
    fn series(&self, out: &mut String, series: &Series, index: usize, of: usize) {
        let aside = index as f64 - (of - 1) as f64 / 2.0;
        let aside = if self.categories { aside * DODGE } else { 0.0 };
        let positions: Vec<Option<(f64, f64)>> = series
            .points
            .iter()
            .map(|point| self.place(point.x, point.y).map(|(x, y)| (x + aside, y)))
            .collect();
        path(out, &positions, index);
        for point in &series.points {
            self.range(out, point, aside, index);
        }
        let single = |at: usize| {
            let beside = [at.wrapping_sub(1), at + 1];
            beside.iter().all(|at| positions.get(*at).copied().flatten().is_none())
        };
        let every = if positions.len() <= MARKS_MAX { 1 } else { positions.len() / MARKS_OF_MANY };
        let verdicts = || series.points.iter().map(|point| point.verdict);
        let before = [Verdict::Valid].into_iter().chain(verdicts());
        for ((at, place), (verdict, before)) in
            positions.iter().enumerate().zip(verdicts().zip(before))
        {
            // A point without neighbours is no line and would not be seen. Where the verdict gets
            // worse is always seen.
            let is_marked = at % every == every / 2 || single(at) || verdict > before;
            if let Some(place) = place.filter(|_| is_marked) {
                mark(out, place, Some(index), verdict);
            }
        }
    }

    fn range(&self, out: &mut String, point: &Point, aside: f64, index: usize) {
        let ends = point.low.zip(point.high);
        let positions = ends
            .and_then(|(low, high)| Some((self.place(point.x, low)?, self.place(point.x, high)?)));
        if let Some(((x, low), (_, high))) = positions {
            let (x, colour) = (x + aside, index % COLOURS.len());
            let _ = writeln!(
                out,
                r#"<path class="range s{colour}" d="M{:.1} {low:.1}h8m-4 0V{high:.1}m-4 0h8"/>"#,
                x - 4.0
            );
        }
    }
}

/// One line through all points, interrupted where one is missing.
fn path(out: &mut String, positions: &[Option<(f64, f64)>], index: usize) {
    let mut steps = String::new();
    let mut pen = 'M';
    for place in positions {
        match place {
            Some((x, y)) => {
                let _ = write!(steps, "{pen}{x:.1} {y:.1}");
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    if !steps.is_empty() {
        let class = format!("line s{}", index % COLOURS.len());
        // After the last colour the colours repeat, dashed.
        let dash = ["", r#" stroke-dasharray="7 4""#, r#" stroke-dasharray="2 4""#];
        let dash = dash[index / COLOURS.len() % dash.len()];
        let _ = writeln!(out, r#"<path class="{class}"{dash} d="{steps}"/>"#);
    }
}

/// The mark of a series: circle, square, triangle, diamond in turn. It is hollow for a SUSPECT
/// point, and for an INVALID one also crossed out. Without a series: a circle of no colour.
pub(super) fn mark(out: &mut String, (x, y): (f64, f64), series: Option<usize>, verdict: Verdict) {
    let shape = match series.unwrap_or(0) % 4 {
        0 => "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
        1 => "m-3.2-3.2h6.4v6.4h-6.4z",
        2 => "m0-4.2l4 7h-8z",
        _ => "m0-4.4l4.4 4.4l-4.4 4.4l-4.4-4.4z",
    };
    let colour = series.map_or("any".to_owned(), |index| format!("s{}", index % COLOURS.len()));
    let hollow = if verdict == Verdict::Valid { "" } else { " hollow" };
    let _ = writeln!(out, r#"<path class="{colour}{hollow}" d="M{x:.1} {y:.1}{shape}"/>"#);
    if verdict == Verdict::Invalid {
        let cross = "m-6-6l12 12m0-12l-12 12";
        let _ = writeln!(out, r#"<path class="{colour} cross" d="M{x:.1} {y:.1}{cross}"/>"#);
    }
}

/// The names of the series beside a piece of their lines, then what the marks mean that are not
/// VALID; returns the height at which that ends.
fn legend(out: &mut String, series: &[Series], top: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, top);
    for (index, one) in series.iter().enumerate() {
        let needed = SWATCH + GAP + width(&one.name);
        if x > MARGIN && x + needed > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 1.2 * LINE_HEIGHT);
        }
        let middle = y - 4.5;
        path(out, &[Some((x, middle)), Some((x + SWATCH, middle))], index);
        mark(out, (x + SWATCH / 2.0, middle), Some(index), Verdict::Valid);
        text(out, "", "start", x + SWATCH + GAP, y, &one.name);
        x += needed + 2.5 * GAP;
    }
    let points = series.iter().flat_map(|one| &one.points).filter(|point| point.y.is_finite());
    meanings(out, points.map(|point| point.verdict), y)
}

/// What the marks mean that are not VALID, below this height; returns the height at which it ends.
pub(super) fn meanings(
    out: &mut String,
    verdicts: impl Iterator<Item = Verdict>,
    above: f64,
) -> f64 {
    let shown: Vec<Verdict> = verdicts.collect();
    let (mut x, mut y) = (MARGIN, above);
    for (verdict, meaning) in [
        (Verdict::Suspect, "hollow: SUSPECT, may be distorted"),
        (Verdict::Invalid, "crossed out: INVALID, do not use"),
    ] {
        if shown.contains(&verdict) {
            y += if x > MARGIN { 0.0 } else { 1.2 * LINE_HEIGHT };
            mark(out, (x + SWATCH / 2.0, y - 4.5), None, verdict);
            text(out, class_of(verdict), "start", x + SWATCH + GAP, y, meaning);
            x += SWATCH + GAP + width(meaning) + 2.5 * GAP;
        }
    }
    y
}

pub(super) fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        r#"<path class="{class}" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

pub(super) fn text(out: &mut String, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) };
    let text = escape(text);
    let _ =
        writeln!(out, r#"<text{class} text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{text}</text>"#);
}

/// How wide a text is at most.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * FONT_SIZE * CHARACTER
}

/// The words in lines that are no wider than this.
pub(super) fn wrapped(text: &str, widest: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= widest => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
