//! The curve that a search visited: latency against throughput.

use super::record::{ProbeRecord, SearchRecord};
use super::text;
use crate::record::LatencyRecord;
use crate::report::plot::{Axis, Chart, Point, Scale, Series, Unit};
use crate::units;

/// Percentiles of the response time against what was achieved, of every probe at a rate.
pub(super) fn of(record: &SearchRecord) -> Chart {
    let mut probes: Vec<&ProbeRecord> =
        record.probes.iter().filter(|probe| probe.rate_per_s.is_some()).collect();
    probes.sort_by(|a, b| {
        a.rate_per_s.partial_cmp(&b.rate_per_s).unwrap_or(std::cmp::Ordering::Equal)
    });
    let series = |name: &str, of: fn(&LatencyRecord) -> Option<u64>| Series {
        name: name.to_owned(),
        points: probes
            .iter()
            .filter_map(|probe| {
                Some(Point::at(probe.achieved_per_s, of(&probe.latency_ns)? as f64))
            })
            .collect(),
    };
    Chart {
        title: format!("Search for the largest rate with {}", record.objectives.join(" and ")),
        caption: caption(record),
        x: Axis::new("achieved rate", Unit::PerSecond, Scale::Linear),
        y: Axis::new("response time", Unit::Nanoseconds, Scale::Log),
        series: vec![
            series("p50", |latency| latency.p50),
            series("p99", |latency| latency.p99),
            series("p99.9", |latency| latency.p999),
        ],
    }
}

fn caption(record: &SearchRecord) -> String {
    let args = &record.args;
    let mut caption = format!(
        "{} connections, {}, {} B, {} arrivals",
        args.connections,
        args.protocol,
        args.size,
        args.arrival.as_deref().unwrap_or("no")
    );
    if let Some(rate_per_s) = record.answer.rate_per_s {
        caption.push_str(&format!("; answer {}/s", units::rate(rate_per_s)));
    }
    if text::is_co_located(record) {
        caption.push_str("; CO-LOCATED: loader and server share processors");
    }
    caption
}
