//! The pictures of a sweep: latency against throughput, and every number by the first variable.

use super::record::{CellRecord, Spread, Summary, SweepRecord};
use super::sweep_plan::{Setting, Variable};
use crate::report::plot::{Axis, Chart, Point, Scale, Series, Unit};

/// A number of a cell, as pictures show it.
struct Number {
    /// In the file's name.
    word: &'static str,
    label: &'static str,
    unit: Unit,
    scale: Scale,
    of: fn(&Summary) -> Option<Spread>,
}

const RATE: Number = Number {
    word: "rate",
    label: "achieved rate",
    unit: Unit::PerSecond,
    scale: Scale::Linear,
    of: |summary| Some(summary.achieved_per_s),
};

const TIMES: [Number; 3] = [
    time("p50", "median latency", |summary| summary.p50_ns),
    time("p99", "99th percentile", |summary| summary.p99_ns),
    time("p999", "99.9th percentile", |summary| summary.p999_ns),
];

const CPU: Number = Number {
    word: "cpu",
    label: "server's processor time per request",
    unit: Unit::Nanoseconds,
    scale: Scale::Linear,
    of: |summary| {
        let Spread { median, least, most } = summary.server_cpu_us_per_request?;
        Some(Spread { median: median * 1e3, least: least * 1e3, most: most * 1e3 })
    },
};

const BALANCE: Number = Number {
    word: "balance",
    label: "busiest worker by the workers' mean",
    unit: Unit::Count,
    scale: Scale::Linear,
    of: |summary| summary.balance,
};

const fn time(
    word: &'static str,
    label: &'static str,
    of: fn(&Summary) -> Option<Spread>,
) -> Number {
    Number { word, label, unit: Unit::Nanoseconds, scale: Scale::Log, of }
}

/// Every picture with data, and the name of its file.
pub(super) fn all(record: &SweepRecord) -> Vec<(String, Chart)> {
    let variables = &record.plan.variables;
    let rates = variables.iter().find(|v| v.name == "rate").map_or(0, |v| v.values.len());
    let mut pictures = Vec::new();
    if rates > 1 {
        for number in &TIMES {
            let name = format!("plot-throughput-{}.svg", number.word);
            pictures.push((name, against_throughput(record, number)));
        }
    }
    if let Some(variable) = variables.iter().find(|v| v.name != "rate" && v.values.len() > 1) {
        for number in [&RATE].into_iter().chain(&TIMES).chain([&CPU, &BALANCE]) {
            let name = format!("plot-{}-by-{}.svg", number.word, variable.name);
            pictures.push((name, by_variable(record, variable, number)));
        }
    }
    pictures.retain(|(_, chart)| !chart.series.is_empty());
    pictures
}

/// One line for every combination of the other variables. Cells in a closed loop have no place:
/// their rate is an answer, not a question, and their latency leaves out the waiting.
fn against_throughput(record: &SweepRecord, number: &Number) -> Chart {
    let is_open = |cell: &&CellRecord| !cell.settings.iter().any(Setting::is_closed_loop);
    let cells = record.cells.iter().filter(is_open);
    Chart {
        title: format!("{} against throughput", number.label),
        caption: caption(record),
        x: Axis::new("achieved rate (median)", Unit::PerSecond, Scale::Linear),
        y: Axis::new(number.label, number.unit, number.scale),
        series: lines(cells, "rate", number, |cell| cell.summary.achieved_per_s.median),
    }
}

/// The values of a variable side by side.
fn by_variable(record: &SweepRecord, variable: &Variable, number: &Number) -> Chart {
    let place = |cell: &CellRecord| {
        let setting = cell.settings.iter().find(|setting| setting.name == variable.name);
        let place = setting.and_then(|s| variable.values.iter().position(|v| *v == s.value));
        place.unwrap_or(0) as f64
    };
    let mut x = Axis::new(&variable.name, Unit::Count, Scale::Category);
    x.names.clone_from(&variable.values);
    Chart {
        title: format!("{} by {}", number.label, variable.name),
        caption: caption(record),
        x,
        y: Axis::new(number.label, number.unit, number.scale),
        series: lines(record.cells.iter(), &variable.name, number, place),
    }
}

/// The cells as lines along the variable `along`, in rising order of `x`.
fn lines<'a>(
    cells: impl Iterator<Item = &'a CellRecord>,
    along: &str,
    number: &Number,
    x: impl Fn(&CellRecord) -> f64,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for cell in cells {
        let Some(Spread { median, least, most }) = (number.of)(&cell.summary) else { continue };
        let others = cell.settings.iter().filter(|setting| setting.name != along);
        let name = others.map(Setting::text).collect::<Vec<_>>().join(" ");
        let point = Point { x: x(cell), y: median, low: Some(least), high: Some(most) };
        match series.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => series.push(Series { name, points: vec![point] }),
        }
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    series
}

fn caption(record: &SweepRecord) -> String {
    let args = &record.plan.args;
    let mut caption = format!(
        "median and range of {} runs; {} connections, {}, {} B",
        record.plan.runs, args.connections, args.protocol, args.size
    );
    if record.co_located {
        caption.push_str("; CO-LOCATED: loader and server share processors");
    }
    caption
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::super::row::tests::row;
    use super::super::sweep_plan::tests::plan;
    use super::*;

    fn pictures(co_located: bool) -> Vec<(String, Chart)> {
        let plan = plan("--var workers=1,2 --var rate=closed,1k,2k --server-cmd 's {workers}'");
        let rows: Vec<Row> = (0..6)
            .map(|cell| Row { co_located, ..row(cell, 1, 500.0 * cell as f64, 1_000) })
            .collect();
        all(&SweepRecord::new(&plan.unwrap(), None, &rows))
    }

    fn named<'a>(pictures: &'a [(String, Chart)], name: &str) -> &'a Chart {
        &pictures.iter().find(|(found, _)| found == name).unwrap().1
    }

    #[test]
    fn latency_against_throughput_has_a_line_for_each_value_of_the_other_variable() {
        let pictures = pictures(false);
        let chart = named(&pictures, "plot-throughput-p99.svg");
        let names: Vec<&str> = chart.series.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["workers=1", "workers=2"]);
        let xs: Vec<f64> = chart.series[0].points.iter().map(|point| point.x).collect();
        assert_eq!(xs, [500.0, 1_000.0], "the closed loop is left out");
    }

    #[test]
    fn a_comparison_has_a_line_for_each_rate_the_closed_loop_included() {
        let pictures = pictures(false);
        let chart = named(&pictures, "plot-rate-by-workers.svg");
        let names: Vec<&str> = chart.series.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["rate=closed", "rate=1k", "rate=2k"]);
        assert_eq!(chart.x.names, ["1", "2"]);
    }

    #[test]
    fn unknown_numbers_have_no_picture() {
        assert!(pictures(false).iter().all(|(name, _)| !name.contains("p50")));
    }

    #[test]
    fn every_caption_mentions_shared_processors() {
        assert!(pictures(true).iter().all(|(_, chart)| chart.caption.contains("CO-LOCATED")));
        assert!(pictures(false).iter().all(|(_, chart)| !chart.caption.contains("CO-LOCATED")));
    }
}
