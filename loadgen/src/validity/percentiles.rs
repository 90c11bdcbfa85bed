//! How much of each percentile may be the loader's own delay.
//!
//! The loader delays a request when it sends late although the connection was free, and when it
//! stalls while a reply is outstanding. Both delays are distributions of the run. A value loses its
//! meaning if many requests beyond it were delayed by much: then it may describe the loader.

use std::collections::BTreeMap;

use crate::latency::{Distribution, Latencies, Latency, PERCENTILES};
use crate::record::{LoaderPart, Verdict};
use crate::schedule::Mode;

/// A smaller part is the cost of a wake-up.
const PART_NS_MIN: u64 = 50_000;

/// Shares of a value that may be the loader's.
const PART_SUSPECT: f64 = 0.1;
const PART_INVALID: f64 = 0.5;

/// Lengths of a delay that are tried, as shares of the value.
const LENGTHS: [f64; 6] = [0.0, 0.025, 0.05, 0.1, 0.2, 0.4];

/// How precisely the part is found, as a fraction of the value.
const RESOLUTION: u64 = 10_000;

/// The name of the maximum among the percentiles.
pub(super) const MAX: &str = "max";

/// Judges every percentile of the headline latency that is known, and its maximum.
pub(crate) fn of_headline(latencies: &Latencies, mode: Mode) -> BTreeMap<String, LoaderPart> {
    let delays = [&latencies[Distribution::LoaderLate], &latencies[Distribution::Stalled]];
    of(latencies, mode, &delays)
}

/// Judges them by the stalls alone.
pub(super) fn of_stalls(latencies: &Latencies, mode: Mode) -> BTreeMap<String, LoaderPart> {
    of(latencies, mode, &[&latencies[Distribution::Stalled]])
}

fn of(latencies: &Latencies, mode: Mode, delays: &[&Latency]) -> BTreeMap<String, LoaderPart> {
    let headline = latencies.with_bounds(Distribution::headline(mode), mode);
    let known = PERCENTILES.into_iter().filter_map(|percentile| {
        Some((percentile.field, percentile.quantile, headline.percentile_ns(percentile)?))
    });
    let max = headline.max_ns().map(|max_ns| (MAX, 1.0, max_ns));
    let judged = known.chain(max).map(|(name, quantile, value_ns)| {
        let at_most_ns = at_most_ns(&headline, delays, quantile, value_ns);
        (name.to_owned(), LoaderPart { verdict: verdict(at_most_ns, value_ns), at_most_ns })
    });
    judged.collect()
}

fn verdict(part_ns: u64, value_ns: u64) -> Verdict {
    let above = |share: f64| part_ns > PART_NS_MIN.max((share * value_ns as f64) as u64);
    if above(PART_INVALID) {
        Verdict::Invalid
    } else if above(PART_SUSPECT) {
        Verdict::Suspect
    } else {
        Verdict::Valid
    }
}

/// How far the value of a quantile may lie above that of a loader without delays.
///
/// A smaller value is certain if enough requests would have reached it without the delays. One that
/// exceeds it by the longest delay would have reached it in any case. For any length: one that
/// exceeds it by this length would have reached it, too, unless it was delayed by more. Which
/// requests were delayed by more is not known, so as many of these as possible count as delayed.
fn at_most_ns(headline: &Latency, delays: &[&Latency], quantile: f64, value_ns: u64) -> u64 {
    // A request can be sent late and read late.
    let longest_ns: u64 = delays.iter().filter_map(|delay| delay.max_ns()).sum();
    if longest_ns == 0 {
        return 0;
    }
    let count = headline.count() as f64;
    let needed = ((1.0 - quantile) * count).floor().max(1.0) as u64;
    let lengths = LENGTHS.map(|share| (share * value_ns as f64) as u64);
    let lengths = lengths.into_iter().chain([PART_NS_MIN]).filter(|length| *length < longest_ns);
    let delayed: Vec<(u64, u64)> = lengths
        .map(|length| (length, delays.iter().map(|delay| delay.count_above(length)).sum()))
        .collect();
    let is_certain = |smaller_ns: u64| {
        let in_any_case = headline.count_from(smaller_ns + longest_ns);
        let at_length = |(length, delayed): &(u64, u64)| {
            let longer = headline.count_from(smaller_ns + length).saturating_sub(in_any_case);
            in_any_case + longer.saturating_sub(*delayed)
        };
        let most = delayed.iter().map(at_length).fold(in_any_case, u64::max);
        most >= needed
    };
    // The largest certain value, by halving.
    let (mut certain_ns, mut uncertain_ns) = (0, value_ns + 1);
    while uncertain_ns - certain_ns > (value_ns / RESOLUTION).max(1) {
        let middle_ns = u64::midpoint(certain_ns, uncertain_ns);
        if is_certain(middle_ns) {
            certain_ns = middle_ns;
        } else {
            uncertain_ns = middle_ns;
        }
    }
    // What remains of the halving is no delay.
    value_ns.saturating_sub(uncertain_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::tests::{latencies_of, latency_of};
    use crate::record::Verdict::{Invalid, Suspect, Valid};

    const MS: u64 = 1_000_000;

    /// 100,000 requests of a closed loop that take 1 to 2 ms, and `touched` that take 100 ms longer
    /// because of a stall.
    fn stalled(touched: u64) -> Latencies {
        let mut service = latency_of((0..100_000 - touched).map(|n| MS + n * 10));
        service.record_n(101 * MS, touched);
        let mut stalled = Latency::new();
        stalled.record_n(100 * MS, touched);
        latencies_of([(Distribution::Service, service), (Distribution::Stalled, stalled)])
    }

    fn verdicts(latencies: &Latencies) -> Vec<(String, Verdict)> {
        let parts = of_headline(latencies, Mode::Closed);
        parts.into_iter().map(|(name, part)| (name, part.verdict)).collect()
    }

    fn each(names: [(&str, Verdict); 6]) -> Vec<(String, Verdict)> {
        names.into_iter().map(|(name, verdict)| (name.to_owned(), verdict)).collect()
    }

    #[test]
    fn a_loader_without_delays_has_no_part_in_any_value() {
        let parts = of_headline(&stalled(0), Mode::Closed);
        assert!(parts.values().all(|part| part.at_most_ns == 0), "{parts:?}");
        assert_eq!(parts.len(), 6);
    }

    #[test]
    fn a_stall_spoils_the_percentiles_that_its_requests_reach_and_no_other() {
        // 64 of 100,000 requests are beyond p99.9, but more than those beyond p99.99.
        let names = [
            ("max", Invalid),
            ("p50", Valid),
            ("p90", Valid),
            ("p99", Valid),
            ("p999", Valid),
            ("p9999", Invalid),
        ];
        assert_eq!(verdicts(&stalled(64)), each(names));
        let names = [
            ("max", Invalid),
            ("p50", Valid),
            ("p90", Valid),
            ("p99", Invalid),
            ("p999", Invalid),
            ("p9999", Invalid),
        ];
        assert_eq!(verdicts(&stalled(2_000)), each(names));
        let part = of_headline(&stalled(64), Mode::Closed)["p9999"];
        assert!((98 * MS..=100 * MS).contains(&part.at_most_ns), "{part:?}");
    }

    #[test]
    fn delays_that_are_short_beside_the_value_do_not_spoil_it() {
        let mut latencies = stalled(0);
        latencies[Distribution::Stalled].record_n(90_000, 50_000);
        assert!(verdicts(&latencies).iter().all(|(_, verdict)| *verdict == Valid));
        latencies[Distribution::Stalled].record_n(300_000, 50_000);
        let p50 = of_headline(&latencies, Mode::Closed)["p50"];
        assert_eq!(p50.verdict, Suspect);
        assert!(p50.at_most_ns <= 300_000, "{p50:?}");
    }

    #[test]
    fn a_long_delay_cannot_explain_more_than_its_own_length() {
        let mut latencies = stalled(0);
        latencies[Distribution::Service].record(50 * MS);
        latencies[Distribution::Stalled].record(2 * MS);
        let max = of_headline(&latencies, Mode::Closed)["max"];
        assert_eq!(max.verdict, Valid);
        assert!((1_900_000..=2 * MS).contains(&max.at_most_ns), "{max:?}");
    }

    #[test]
    fn a_short_stall_while_the_server_stood_still_has_no_part_in_the_other_requests() {
        // 10,000 more waited for seconds, and the loader was late to read each of these.
        let mut latencies = stalled(0);
        latencies[Distribution::Service].record_n(3_000 * MS, 10_000);
        latencies[Distribution::Stalled].record_n(2 * MS, 10_000);
        let parts = of_headline(&latencies, Mode::Closed);
        assert!(parts.values().all(|part| part.verdict == Valid), "{parts:?}");
    }

    #[test]
    fn late_sends_spoil_the_response_of_an_open_loop() {
        let mut latencies = Latencies::new();
        latencies[Distribution::Response].record_n(MS, 99_000);
        latencies[Distribution::Response].record_n(40 * MS, 1_000);
        latencies[Distribution::LoaderLate].record_n(1_000, 99_500);
        latencies[Distribution::LoaderLate].record_n(39 * MS, 500);
        let parts = of_headline(&latencies, Mode::Open);
        assert_eq!((parts["p99"].verdict, parts["p999"].verdict), (Valid, Valid));
        latencies[Distribution::LoaderLate].record_n(39 * MS, 500);
        assert_eq!(of_headline(&latencies, Mode::Open)["p999"].verdict, Invalid);
    }
}
