//! The charts of a result, made from its numbers.

use super::{Axis, Chart, Point, Scale, Series, Unit};
use crate::latency::Latency;
use crate::record::{IntervalRecord, Record, RunRecord, Verdict};
use crate::report::hgrm;
use crate::units::{self, counted};

/// Fewest samples beyond a quantile for which it has a 95 % confidence interval.
const SAMPLES_BEYOND: f64 = 3.68;

/// Distributions as percentile curves, as far as their samples support them.
pub(crate) fn percentiles(record: &Record, curves: &[(&str, &Latency)]) -> Chart {
    let curves = curves.iter().filter(|(_, latency)| latency.count() > 0);
    Chart {
        title: format!("Latency by percentile, {}", load(record)),
        verdict: (record.validity.verdict, record.validity.summary()),
        caption: caption(record),
        x: Axis::new("percentile", Unit::Share, Scale::Percentile),
        y: Axis::new("latency (logarithmic)", Unit::Nanoseconds, Scale::Log),
        series: curves
            .map(|(name, latency)| percentile_curve(name, latency, record.validity.verdict))
            .collect(),
    }
}

fn percentile_curve(name: &str, latency: &Latency, verdict: Verdict) -> Series {
    let count = latency.count();
    let known = |quantile: &f64| (1.0 - quantile) * count as f64 >= SAMPLES_BEYOND;
    let max = units::duration(latency.max_ns().unwrap_or(0));
    Series {
        name: format!("{name} (max {}, n = {})", max.trim_end(), units::grouped(count)),
        points: hgrm::percentile_rows()
            .take_while(known)
            .map(|quantile| {
                let y = latency.quantile_ns(quantile) as f64;
                Point { verdict, ..Point::at(quantile, y) }
            })
            .collect(),
    }
}

/// Latency in each interval, the runs one after the other.
pub(crate) fn time(record: &Record) -> Chart {
    let x_label = match record.runs.len() {
        0 | 1 => "seconds since the measured window began",
        _ => "seconds measured, the runs one after the other",
    };
    Chart {
        title: format!("Latency over time, {}", load(record)),
        verdict: (record.validity.verdict, record.validity.summary()),
        caption: caption(record),
        x: Axis::new(x_label, Unit::Seconds, Scale::Linear),
        y: Axis::new("latency in each interval (logarithmic)", Unit::Nanoseconds, Scale::Log),
        series: vec![
            over_time("p50", &record.runs, |interval| interval.p50_ns),
            over_time("p99", &record.runs, |interval| interval.p99_ns),
            over_time("max", &record.runs, |interval| interval.max_ns),
        ],
    }
}

fn over_time(
    name: &str,
    runs: &[RunRecord],
    value: impl Fn(&IntervalRecord) -> Option<u64>,
) -> Series {
    let mut points = Vec::new();
    let mut begins_s = 0.0;
    for run in runs {
        // The warm-up measures nothing. The short interval of the last replies has too few of them
        // to be a point beside whole intervals. Any other is whole, also beside one that a stall of
        // the loader made long.
        let measured = || run.intervals.iter().filter(|interval| interval.start_s > -1e-9);
        let longest_s = measured().map(|interval| interval.length_s).fold(0.0, f64::max);
        let last = measured().count().saturating_sub(1);
        let whole = measured()
            .enumerate()
            .filter(|(at, interval)| *at < last || interval.length_s > longest_s / 2.0);
        points.extend(whole.map(|(_, interval)| {
            let y = value(interval).map_or(f64::NAN, |ns| ns as f64);
            let x = begins_s + interval.start_s + interval.length_s / 2.0;
            Point { verdict: run.validity.verdict, ..Point::at(x, y) }
        }));
        points.push(Point::BREAK);
        begins_s += run.intervals.last().map_or(0.0, |last| last.start_s + last.length_s);
    }
    Series { name: name.to_owned(), points }
}

/// The load in a few words.
fn load(record: &Record) -> String {
    match &record.args.rate {
        Some(rate) => format!("open loop at {rate} requests/s"),
        None => "closed loop, service time".to_owned(),
    }
}

/// The plan, and what a reader must know of the machine.
fn caption(record: &Record) -> String {
    let args = &record.args;
    let shared = match record.validity.is_co_located() {
        true => "CO-LOCATED: loader and server share processors.\n",
        false => "",
    };
    format!(
        "{shared}{}, {}, {}, {} of {} s; achieved {} requests/s",
        args.target,
        counted(args.connections.into(), "connection"),
        args.requests(),
        counted(record.runs.len() as u64, "run"),
        args.duration_s,
        units::rate(record.rate.achieved_per_s),
    )
}
