//! The report of a search: the answer first, then all probes, as a table and as a curve.

use std::fmt::Write as _;
use std::time::Duration;

use super::record::{Answer, End, ProbeRecord, SearchRecord};
use super::strategy::{Limit, ProbeFinding};
use super::table;
use crate::commands::verdicts::{self, Judged, first_reason};
use crate::environment::Sharing;
use crate::error::Error;
use crate::record::{LatencyRecord, Verdict};
use crate::report::plot::{Axis, Chart, Point, Scale, Series, Unit};
use crate::report::text::{WIDTH, wrap};
use crate::report::{files, json};
use crate::slo::{Metric, Slo};
use crate::stats;
use crate::units::{self, counted};

const PLOT: &str = "plot-throughput-latency.svg";

/// The files of a search, `search.json` first.
pub(super) fn files(record: &SearchRecord) -> Result<Vec<(String, String)>, Error> {
    let files = [
        (files::SEARCH, json::text(record)?),
        (files::SEARCH_TABLE, table::text(record)),
        (files::SEARCH_TEXT, render(record)),
        (PLOT, chart(record).svg()),
    ];
    Ok(files.map(|(name, content)| (name.to_owned(), content)).into())
}

/// Longest duration that is suggested.
const NEEDED_S_MAX: f64 = 86_400.0;

/// The result of a probe in a line, during the search.
pub(super) fn line(probe: &ProbeRecord) -> String {
    let latency = &probe.latency_ns;
    let [p50, p99] = [latency.p50, latency.p99].map(known);
    let times = format!("p50 {}, p99 {}, {}", p50.trim(), p99.trim(), probe.validity.verdict);
    match probe.decision {
        None => format!("peak of a closed loop: {}/s ({times})", units::rate(probe.achieved_per_s)),
        Some(decision) => {
            let (number, rate) = (probe.number, rate(probe));
            let disturbed = if probe.disturbed { "; the loader was disturbed" } else { "" };
            let stage = probe.stage;
            format!("probe {number}, {stage}: {rate} is {decision} ({times}){disturbed}")
        }
    }
}

/// The verdict on all probes at a rate, and the first reason.
pub(super) fn verdict(record: &SearchRecord) -> (Verdict, String) {
    let probes = record.probes.iter().filter(|probe| probe.rate_per_s.is_some());
    let judged = probes.map(|probe| Judged {
        name: rate(probe),
        verdict: probe.validity.verdict,
        reason: first_reason(&probe.validity),
    });
    verdicts::summary("probe", &judged.collect::<Vec<_>>())
}

/// The report as text.
pub(super) fn render(record: &SearchRecord) -> String {
    let mut text = answer(record);
    text.push_str(&limits_of_the_loader(record));
    if is_co_located(record) {
        text.push_str("CO-LOCATED: loader and server share processors; both are slower for it.\n");
    }
    if let Some(peak_per_s) = record.peak_per_s {
        let peak = units::rate(peak_per_s);
        _ = writeln!(text, "A closed loop with the same connections achieves {peak}/s.");
    }
    text.push('\n');
    text.push_str(&rows(record));
    text
}

/// Whether every number must be read with this in mind.
pub(super) fn is_co_located(record: &SearchRecord) -> bool {
    record.env.sharing.is_some_and(Sharing::is_co_located)
}

/// What the search found, in a line.
pub(super) fn answer(record: &SearchRecord) -> String {
    let objectives = record.objectives.join(" and ");
    let Answer { end, rate_per_s, limit, confirmed, .. } = record.answer;
    let rate = rate_per_s.map(|per_s| format!("{}/s", units::rate(per_s)));
    let confirmed = match confirmed {
        0 => "not confirmed".to_owned(),
        1 => "confirmed by 1 more probe".to_owned(),
        probes => format!("confirmed by {probes} more probes"),
    };
    let missed = record.answer.missed_per_s.filter(|_| limit != Some(Limit::Loader));
    let missed = missed
        .map_or(String::new(), |per_s| format!("; it does not hold at {}/s", units::rate(per_s)));
    match (end, rate) {
        (End::Found, Some(rate)) => match limit {
            Some(Limit::Loader) => format!(
                "INVALID above {rate}: {objectives} holds up to >= {rate}, {confirmed}; the \
                 loader is the limit, give it more threads or a machine of its own\n"
            ),
            Some(Limit::Highest) => format!(
                "{objectives} holds up to {rate}, {confirmed}; no higher rate \
                 was requested (--to)\n"
            ),
            Some(Limit::Undecided) => format!(
                "{objectives} holds up to {rate}, {confirmed}{missed}; above, the probes were too \
                 short to decide ({})\n",
                length_needed(record)
            ),
            _ => format!("{objectives} holds up to {rate}, {confirmed}{missed}\n"),
        },
        (End::NoneIsGood, _) | (End::Found, None) => none(record, &objectives, limit),
        (End::TimeUp, Some(rate)) => {
            format!("NOT CONFIRMED: out of time (--max-time); {objectives} held once at {rate}\n")
        }
        (End::Interrupted, Some(rate)) => {
            format!("INTERRUPTED: not confirmed; {objectives} held once at {rate}\n")
        }
        (End::TimeUp, None) => {
            "NOT KNOWN: out of time (--max-time) before any rate was good\n".to_owned()
        }
        (End::Interrupted, None) => "INTERRUPTED before any rate was good\n".to_owned(),
        (End::Failed, Some(rate)) => {
            format!("FAILED before the end: not confirmed; {objectives} held once at {rate}\n")
        }
        (End::Failed, None) => "FAILED before any rate was good\n".to_owned(),
    }
}

/// What made the lowest rate at which the loader was the limit INVALID, if that bounds the answer.
fn limits_of_the_loader(record: &SearchRecord) -> String {
    let limited =
        record.probes.iter().filter(|probe| probe.decision == Some(ProbeFinding::LoaderLimited));
    let lowest = limited.min_by(|a, b| key(a).total_cmp(&key(b)));
    let Some(probe) = lowest.filter(|_| record.answer.limit == Some(Limit::Loader)) else {
        return String::new();
    };
    let reasons = probe.validity.reasons.iter().filter(|reason| reason.level == Verdict::Invalid);
    let text = |text: &str| wrap("  - ", &format!("at {}: {text}", rate(probe)), WIDTH);
    reasons.map(|reason| text(&reason.text)).collect()
}

fn none(record: &SearchRecord, objectives: &str, limit: Option<Limit>) -> String {
    let good = record.probes.iter().filter(|probe| probe.decision == Some(ProbeFinding::Good));
    let once_good = good.max_by(|a, b| key(a).total_cmp(&key(b)));
    match (limit, once_good) {
        (Some(Limit::Loader), _) => format!(
            "INVALID: the loader is the limit already at the lowest rate tried; {objectives} is \
             not known to hold anywhere\n"
        ),
        (Some(Limit::Undecided), None) => format!(
            "UNDECIDED: the probes were too short to decide whether {objectives} holds ({})\n",
            length_needed(record)
        ),
        (Some(Limit::Undecided), Some(probe)) => format!(
            "UNDECIDED: {objectives} held once at {}, and more probes left it undecided ({})\n",
            rate(probe),
            length_needed(record)
        ),
        (_, Some(_)) => format!("MISSED: no rate keeps {objectives} each time\n"),
        (_, None) => format!("MISSED: no rate tried keeps {objectives}\n"),
    }
}

/// What length would decide at the lowest rate above the answer that stayed undecided.
fn length_needed(record: &SearchRecord) -> String {
    let answer_per_s = record.answer.rate_per_s.unwrap_or(0.0);
    let undecided = record.probes.iter().rev().filter(|probe| {
        probe.decision == Some(ProbeFinding::Undecided)
            && probe.rate_per_s.is_some_and(|per_s| per_s > answer_per_s)
    });
    let lowest = undecided.min_by(|a, b| key(a).total_cmp(&key(b)));
    let needed = lowest.and_then(|probe| Some((probe, probe.needed_s?)));
    match needed {
        Some((probe, needed_s)) if needed_s < NEEDED_S_MAX => {
            let needed = Duration::from_secs(needed_s.ceil() as u64);
            let needed = humantime::format_duration(needed);
            format!("at {}, about --duration {needed} would decide", rate(probe))
        }
        _ => "they would need a longer --duration".to_owned(),
    }
}

/// Every probe, by rate.
fn rows(record: &SearchRecord) -> String {
    let mut probes: Vec<&ProbeRecord> = record.probes.iter().collect();
    probes.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let columns = ["offered", "achieved", "p50", "p99", "p99.9", "max", "n", "stage", "verdict"];
    let mut text = String::new();
    for column in columns {
        _ = write!(text, "{column:>11}");
    }
    text.push_str("  decision\n");
    for probe in probes {
        let latency = &probe.latency_ns;
        for cell in [
            rate(probe),
            format!("{}/s", units::rate(probe.achieved_per_s)),
            known(latency.p50),
            known(latency.p99),
            known(latency.p999),
            known(latency.max),
            units::grouped(probe.measured),
            probe.stage.to_string(),
            probe.validity.verdict.to_string(),
        ] {
            _ = write!(text, "{cell:>11}");
        }
        _ = writeln!(text, "  {}", reason(probe));
    }
    text
}

/// The closed loop comes last.
fn key(probe: &ProbeRecord) -> f64 {
    probe.rate_per_s.unwrap_or(f64::INFINITY)
}

fn rate(probe: &ProbeRecord) -> String {
    probe.rate_per_s.map_or("closed".to_owned(), |per_s| format!("{}/s", units::rate(per_s)))
}

fn known(value_ns: Option<u64>) -> String {
    value_ns.map_or("n/a".to_owned(), units::duration)
}

/// The decision, and what it rests on.
fn reason(probe: &ProbeRecord) -> String {
    let Some(decision) = probe.decision else { return "peak".to_owned() };
    let mut why: Vec<String> = Vec::new();
    let not_met = probe.slo.iter().filter(|slo| slo.met != Some(true));
    why.extend(not_met.map(|slo| format!("{}: {}", slo.objective, slo.found)));
    if probe.had_errors {
        why.push("requests failed".to_owned());
    }
    // What was not met may be the loader's doing.
    if probe.disturbed {
        why.clear();
    }
    why.extend(probe.validity.reasons.iter().map(|reason| reason.code.to_string()));
    if why.is_empty() { decision.to_string() } else { format!("{decision} ({})", why.join("; ")) }
}

/// One percentile of a distribution.
type Percentile = fn(&LatencyRecord) -> Option<u64>;

/// Percentiles of the response time against what was achieved, of every probe at a rate.
pub(super) fn chart(record: &SearchRecord) -> Chart {
    let mut probes: Vec<&ProbeRecord> =
        record.probes.iter().filter(|probe| probe.rate_per_s.is_some()).collect();
    probes.sort_by(|a, b| {
        a.rate_per_s.partial_cmp(&b.rate_per_s).unwrap_or(std::cmp::Ordering::Equal)
    });
    let rates: Vec<&[&ProbeRecord]> =
        probes.chunk_by(|a, b| a.rate_per_s == b.rate_per_s).collect();
    let percentiles: [(&str, Percentile); 3] = [
        ("p50", |latency| latency.p50),
        ("p99", |latency| latency.p99),
        ("p99.9", |latency| latency.p999),
    ];
    let series = percentiles.into_iter().map(|(name, of)| Series {
        name: name.to_owned(),
        points: rates.iter().filter_map(|probes| point(probes, of)).collect(),
    });
    let series = series.filter(|line| !line.points.is_empty()).chain(limits(record));
    Chart {
        title: format!("Search for the largest rate with {}", record.objectives.join(" and ")),
        verdict: verdict(record),
        caption: caption(record),
        x: Axis::new("achieved rate (/s)", Unit::PerSecond, Scale::Linear),
        y: Axis::new("response time", Unit::Nanoseconds, Scale::Log),
        series: series.collect(),
    }
}

/// All probes at a rate together: their medians and their range, with the worst verdict. A line
/// through each of them would go to and fro.
fn point(probes: &[&ProbeRecord], of: Percentile) -> Option<Point> {
    let known = probes.iter().filter_map(|probe| of(&probe.latency_ns));
    let times: Vec<f64> = known.map(|ns| ns as f64).collect();
    let achieved: Vec<f64> = probes.iter().map(|probe| probe.achieved_per_s).collect();
    let (low, high) = stats::range(&times)?;
    let (low, high) = if times.len() > 1 { (Some(low), Some(high)) } else { (None, None) };
    let verdict = probes.iter().map(|probe| probe.validity.verdict).max()?;
    let place = Point::at(stats::median(&achieved)?, stats::median(&times)?);
    Some(Point { low, high, verdict, ..place })
}

/// A level line for each objective about a time.
fn limits(record: &SearchRecord) -> Vec<Series> {
    let at_rates = record.probes.iter().filter(|probe| probe.rate_per_s.is_some());
    let achieved: Vec<f64> = at_rates.map(|probe| probe.achieved_per_s).collect();
    let Some((first, last)) = stats::range(&achieved) else { return Vec::new() };
    let objectives = record.objectives.iter().filter_map(|text| text.parse::<Slo>().ok());
    let of_times = objectives.filter(|slo| matches!(slo.metric(), Metric::Time(..)));
    let line = |slo: Slo| Series {
        name: format!("objective {slo}"),
        points: [first, last].map(|x| Point::at(x, slo.limit())).into(),
    };
    of_times.map(line).collect()
}

fn caption(record: &SearchRecord) -> String {
    let args = &record.args;
    let shared = match is_co_located(record) {
        true => "CO-LOCATED: loader and server share processors.\n",
        false => "",
    };
    format!(
        "{}{shared}{}, {}, {} arrivals",
        answer(record),
        counted(args.connections.into(), "connection"),
        args.requests(),
        args.arrival.as_deref().unwrap_or("no")
    )
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::probe;
    use super::super::search_plan::tests::plan;
    use super::super::strategy::Stage;
    use super::*;
    use crate::record::tests::sample;
    use crate::record::{Code, Reason, Validity};

    #[test]
    fn a_rate_keeps_its_qualifier_wherever_it_is_shown() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        record.answer = Answer::found(12_300.0, Limit::Loader, 3);
        assert!(chart(&record).caption.contains("holds up to >= 12,300/s"));
        record.answer = Answer::without_end(End::TimeUp, Some(500.0));
        assert!(chart(&record).caption.contains("NOT CONFIRMED: out of time"));
        let json = serde_json::to_value(&record.answer).unwrap();
        assert_eq!(json["qualifier"], "not-confirmed");
        record.answer = Answer::found(12_300.0, Limit::Objective, 3);
        assert!(chart(&record).caption.contains("holds up to 12,300/s, confirmed"));
    }

    #[test]
    fn an_undecided_search_says_which_duration_would_decide() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        let measured = sample::open().record;
        let probe = |number: u32, rate_per_s: f64, needed_s: f64| ProbeRecord {
            number,
            rate_per_s: Some(rate_per_s),
            decision: Some(ProbeFinding::Undecided),
            needed_s: Some(needed_s),
            ..ProbeRecord::peak(&measured)
        };
        record.probes = vec![probe(1, 900.0, 5.0), probe(2, 1_100.0, 7.0), probe(3, 1_100.0, 90.0)];
        record.answer = Answer::found(1_000.0, Limit::Undecided, 3);
        let text = render(&record);
        assert!(text.contains("at 1,100/s, about --duration 1m 30s would decide"), "{text}");
        record.probes.clear();
        assert!(render(&record).contains("they would need a longer --duration"));
    }

    fn report(answer: Answer) -> String {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        record.answer = answer;
        render(&record)
    }

    #[test]
    fn the_answer_comes_first_and_says_what_bounds_it() {
        let text = report(Answer::found(12_300.0, Limit::Objective, 3));
        assert!(
            text.starts_with("p99<1ms holds up to 12,300/s, confirmed by 3 more probes\n"),
            "{text}"
        );
        let above = Some((14_000.0, Limit::Objective));
        let text = report(Answer::found(12_300.0, Limit::Undecided, 3).below(above));
        assert!(text.contains("; it does not hold at 14,000/s; above, the probes were"), "{text}");
        let text = report(Answer::found(12_300.0, Limit::Loader, 3));
        assert!(
            text.starts_with("INVALID above 12,300/s") && text.contains("the loader is the limit")
        );
        assert!(report(Answer::none(Limit::Objective)).starts_with("MISSED: no rate tried keeps"));
        let text = report(Answer::without_end(End::TimeUp, Some(500.0)));
        assert!(text.starts_with("NOT CONFIRMED: out of time"), "{text}");
    }

    #[test]
    fn a_probe_that_is_not_valid_is_crossed_out_and_the_chart_says_why() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        let mut measured = sample::open().record;
        record.probes.push(probe(Stage::Rise, 2e3, ProbeFinding::Good, &measured));
        assert_eq!(chart(&record).verdict.0, Verdict::Valid);
        let late =
            Reason { code: Code::LoaderLate, level: Verdict::Invalid, text: "p99 1 ms".to_owned() };
        let verdict = Verdict::Invalid;
        measured.validity = Validity { verdict, reasons: vec![late], ..Validity::valid() };
        let limited = ProbeFinding::LoaderLimited;
        record.probes.push(probe(Stage::Rise, 9e3, limited, &measured));
        let chart = chart(&record);
        let said = "INVALID: 1 of 2 probes. First: 9,000/s: loader-late: p99 1 ms";
        assert_eq!(chart.verdict, (Verdict::Invalid, said.to_owned()));
        for line in chart.series.iter().filter(|line| !line.name.starts_with("objective")) {
            let verdicts: Vec<Verdict> = line.points.iter().map(|point| point.verdict).collect();
            assert_eq!(verdicts, [Verdict::Valid, Verdict::Invalid], "{}", line.name);
        }
        assert!(render(&record).contains("INVALID  loader-limited (loader-late)"));
    }

    #[test]
    fn repeats_of_a_rate_are_one_point_and_the_objective_is_a_line() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms --slo rate>=10").unwrap());
        let measured = sample::open().record;
        for (rate_per_s, p99_ns) in [(2e3, 500_000), (1e3, 70_000), (2e3, 900_000), (2e3, 600_000)]
        {
            let mut probe = probe(Stage::Rise, rate_per_s, ProbeFinding::Good, &measured);
            probe.achieved_per_s = rate_per_s;
            probe.latency_ns.p99 = Some(p99_ns);
            record.probes.push(probe);
        }
        let series = chart(&record).series;
        let p99 = series.iter().find(|line| line.name == "p99").unwrap();
        let range = Point { low: Some(5e5), high: Some(9e5), ..Point::at(2e3, 6e5) };
        assert_eq!(p99.points, [Point::at(1e3, 7e4), range]);
        let objectives: Vec<_> =
            series.iter().filter(|line| line.name.starts_with("objective")).collect();
        assert_eq!(objectives.len(), 1, "the rate is no time");
        assert_eq!(objectives[0].name, "objective p99<1ms");
        assert_eq!(objectives[0].points, [Point::at(1e3, 1e6), Point::at(2e3, 1e6)]);
    }

    #[test]
    fn shared_processors_are_shown_prominently() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        assert!(!render(&record).contains("CO-LOCATED"));
        record.env.sharing = Some(Sharing::SharedProcessors);
        assert!(render(&record).contains("CO-LOCATED"));
    }
}
