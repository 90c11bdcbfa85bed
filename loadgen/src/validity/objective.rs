//! Whether a record meets an objective, and with which confidence.

use crate::latency::{Distribution, Percentile, Samples};
use crate::record::{Decision, LatencyRecord, Record, SloRecord};
use crate::slo::{Metric, Slo, Statistic};
use crate::units;

/// A number of a record. Unanswered requests can leave it between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bounded {
    Exactly(f64),
    /// A lower and an upper bound. There may be no upper one.
    Between(f64, Option<f64>),
    Unknown,
}

impl Slo {
    /// Whether `record` meets it: by the value found, as far as that is known, and with
    /// confidence, by its samples.
    ///
    /// A percentile passes or fails by the number of samples on both sides of the limit. What has
    /// no confidence interval (connects, handshakes, extremes, means, rates) decides by its value.
    pub(crate) fn check(&self, record: &Record, samples: &Samples<'_>) -> SloRecord {
        let found = self.metric().of(record);
        let show = |value: f64| self.metric().show(value);
        let text = match found {
            Bounded::Exactly(value) => show(value),
            Bounded::Between(low, None) => format!("at least {}", show(low)),
            Bounded::Between(low, Some(high)) => format!("from {} to {}", show(low), show(high)),
            Bounded::Unknown => self.why_unknown(record),
        };
        let met = self.met(found);
        let certain = match self.metric() {
            Metric::Time(distribution, Statistic::Percentile(percentile)) => {
                let headline = Distribution::headline(record.args.mode);
                let distribution = distribution.unwrap_or(headline);
                let quantile = Percentile::from(percentile).quantile;
                match distribution {
                    Distribution::Connect | Distribution::Handshake => met,
                    _ => samples
                        .meets(distribution, quantile, &|ns| self.holds(ns as f64))
                        .filter(|&is_met| is_met || !self.may_hold_without_loader(record)),
                }
            }
            _ => met,
        };
        let decision = match certain {
            Some(true) => Decision::Passed,
            Some(false) => Decision::Failed,
            None => Decision::Undecided,
        };
        SloRecord { objective: self.to_string(), met, decision, found: text }
    }

    /// Whether the loader's own delay may be why the headline latency misses it.
    fn may_hold_without_loader(&self, record: &Record) -> bool {
        let parts = &record.validity.percentiles;
        let part = self.percentile().and_then(|percentile| parts.get(percentile.field));
        let is_headline = self.metric().latency(record).is_some_and(|latency| {
            std::ptr::eq(latency, record.latency_ns.headline(record.args.mode))
        });
        match (part, self.metric().of(record)) {
            (Some(part), Bounded::Exactly(value) | Bounded::Between(value, _)) if is_headline => {
                self.holds(value - part.at_most_ns as f64)
            }
            _ => false,
        }
    }

    fn met(&self, found: Bounded) -> Option<bool> {
        match found {
            Bounded::Exactly(value) => Some(self.holds(value)),
            // What is too long already cannot get shorter.
            Bounded::Between(low, _) if !self.holds(low) => Some(false),
            Bounded::Between(_, high) => high.is_some_and(|high| self.holds(high)).then_some(true),
            Bounded::Unknown => None,
        }
    }

    fn why_unknown(&self, record: &Record) -> String {
        match (self.percentile(), self.metric().latency(record)) {
            (Some(percentile), Some(latency)) => format!(
                "n/a (needs n >= {}, there are {})",
                percentile.samples_min,
                units::grouped(latency.count)
            ),
            (None, Some(_)) => "n/a (no sample)".to_owned(),
            (_, None) if record.args.is_open() => "n/a (no request was scheduled)".to_owned(),
            (_, None) => "n/a (a closed loop offers no rate)".to_owned(),
        }
    }
}

impl Metric {
    /// The distribution it is about.
    fn latency(self, record: &Record) -> Option<&LatencyRecord> {
        let Self::Time(distribution, _) = self else { return None };
        let headline = Distribution::headline(record.args.mode);
        Some(record.latency_ns.of(distribution.unwrap_or(headline)))
    }

    /// The value in the record: nanoseconds, a share, or requests per second.
    fn of(self, record: &Record) -> Bounded {
        let exactly = |value: Option<f64>| value.map_or(Bounded::Unknown, Bounded::Exactly);
        let (counters, rate) = (&record.counters, &record.rate);
        match self {
            Self::Time(_, statistic) => {
                self.latency(record).map_or(Bounded::Unknown, |latency| statistic.of(latency))
            }
            Self::Errors => exactly((counters.scheduled > 0).then(|| {
                let lost = counters.scheduled.saturating_sub(counters.completed);
                lost as f64 / counters.scheduled as f64
            })),
            Self::Achieved => {
                let offered = rate.offered_per_s.filter(|&offered| offered > 0.0);
                exactly(offered.map(|offered| rate.achieved_per_s / offered))
            }
            Self::Rate => Bounded::Exactly(rate.achieved_per_s),
        }
    }
}

impl Statistic {
    fn of(self, latency: &LatencyRecord) -> Bounded {
        let (field, value) = match self {
            Self::Percentile(known) => {
                let percentile = Percentile::from(known);
                (percentile.field, latency.at(percentile))
            }
            Self::Max => ("max", latency.max),
            Self::Mean => ("mean", latency.mean),
        };
        let Some(value) = value else { return Bounded::Unknown };
        match latency.at_most.get(field) {
            None => Bounded::Exactly(value as f64),
            Some(at_most) => Bounded::Between(value as f64, at_most.map(|ns| ns as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;
    use crate::record::tests::sample;
    use crate::record::{LoaderPart, Verdict};
    use crate::schedule::Mode;

    fn open() -> Record {
        sample::open().record
    }

    fn slo(text: &str) -> Slo {
        text.parse().unwrap()
    }

    /// The check of a record whose samples are not known.
    fn checked(text: &str, record: &Record) -> SloRecord {
        let latencies = Latencies::new();
        let samples = Samples { mode: record.args.mode, latencies: &latencies, runs: &[] };
        slo(text).check(record, &samples)
    }

    fn met(text: &str, record: &Record) -> Option<bool> {
        checked(text, record).met
    }

    #[test]
    fn a_limit_is_included_only_where_the_objective_says_so() {
        let mut record = open();
        record.latency_ns.response.p99 = Some(1_000_000);
        assert_eq!(met("p99<1ms", &record), Some(false));
        assert_eq!(met("p99<=1ms", &record), Some(true));
        assert_eq!(met("p99<1.001ms", &record), Some(true));
    }

    #[test]
    fn without_a_distribution_the_response_is_meant_or_in_a_closed_loop_the_service() {
        let mut record = open();
        record.latency_ns.response.p50 = Some(900);
        record.latency_ns.service.p50 = Some(100);
        assert_eq!(met("p50<500ns", &record), Some(false));
        assert_eq!(met("service.p50<500ns", &record), Some(true));
        let mut record = sample::closed().record;
        record.latency_ns.service.p50 = Some(100);
        assert_eq!(met("p50<500ns", &record), Some(true));
    }

    #[test]
    fn a_percentile_without_samples_is_neither_met_nor_missed() {
        let mut record = open();
        record.latency_ns.response.p9999 = None;
        let checked = checked("p99.99<1s", &record);
        assert_eq!(checked.met, None);
        assert!(
            checked.found.starts_with("n/a (needs n >= 36887, there are "),
            "{}",
            checked.found
        );
        assert_eq!(checked.decision, Decision::Undecided);
    }

    #[test]
    fn a_value_between_two_bounds_meets_by_the_upper_and_misses_by_the_lower_one() {
        let mut record = open();
        let response = &mut record.latency_ns.response;
        response.p99 = Some(2_000_000);
        response.p90 = Some(1_000_000);
        let bounds = [("p90", Some(2_000_000)), ("p99", None), ("max", None), ("mean", None)];
        response.at_most = bounds.map(|(name, at_most)| (name.to_owned(), at_most)).into();
        assert_eq!(met("p99<1ms", &record), Some(false));
        assert_eq!(met("p99<3ms", &record), None);
        assert_eq!(checked("p99<3ms", &record).found, "at least 2.00 ms");
        assert_eq!(met("p90<900us", &record), Some(false));
        assert_eq!(met("p90<1.5ms", &record), None);
        assert_eq!(met("p90<3ms", &record), Some(true));
        assert_eq!(checked("p90<3ms", &record).found, "from 1.00 ms to 2.00 ms");
        assert_eq!(met("max<60s", &record), None);
        assert_eq!(met("mean<60s", &record), None);
    }

    #[test]
    fn a_percentile_is_decided_by_its_samples_and_a_connect_by_its_value() {
        let mut args = sample::open_args();
        let p99 = format!("p99<={}ns", open().latency_ns.response.p99.unwrap());
        args.slo = ["p99<150us", &p99, "p99<300us", "connect.p50<1s", "connect.p50<1ns"]
            .map(|text| text.to_owned().into())
            .into();
        let decisions = sample::several(&args, 1).record.slo.into_iter().map(|slo| slo.decision);
        use Decision::{Failed, Passed, Undecided};
        assert_eq!(decisions.collect::<Vec<_>>(), [Failed, Undecided, Passed, Passed, Failed]);
    }

    #[test]
    fn an_objective_that_only_the_loader_s_delay_misses_is_undecided() {
        let mut args = sample::open_args();
        args.slo = vec!["p99<150us".to_owned().into()];
        let measured = sample::several(&args, 1);
        let mut record = measured.record;
        let (latencies, batches) = sample::latencies(&args);
        let samples = Samples { mode: args.mode, latencies: &latencies, runs: &[batches] };
        let decision = |record: &Record| slo("p99<150us").check(record, &samples).decision;
        assert_eq!(decision(&record), Decision::Failed);
        let part = |at_most_ns| LoaderPart { verdict: Verdict::Suspect, at_most_ns };
        record.validity.percentiles.insert("p99".to_owned(), part(20_000));
        assert_eq!(decision(&record), Decision::Failed);
        record.validity.percentiles.insert("p99".to_owned(), part(100_000));
        assert_eq!(decision(&record), Decision::Undecided);
    }

    #[test]
    fn errors_are_all_requests_without_a_right_reply() {
        let mut record = open();
        record.counters.scheduled = 10_000;
        record.counters.completed = 9_990;
        assert_eq!(met("err<0.1%", &record), Some(false));
        assert_eq!(met("err<=0.1%", &record), Some(true));
        assert_eq!(checked("err<=0.1%", &record).decision, Decision::Passed);
        assert_eq!(checked("err<0.1%", &record).found, "0.100 %");
    }

    #[test]
    fn rates_are_held_against_the_schedule_or_a_number() {
        let mut record = open();
        record.rate.offered_per_s = Some(10_000.0);
        record.rate.achieved_per_s = 9_900.0;
        assert_eq!(met("achieved>=0.99", &record), Some(true));
        assert_eq!(met("achieved>0.99", &record), Some(false));
        assert_eq!(met("rate>=9900", &record), Some(true));
        assert_eq!(met("rate>=10k", &record), Some(false));
        record.rate.offered_per_s = Some(0.0);
        assert_eq!(checked("achieved>=0.99", &record).found, "n/a (no request was scheduled)");
        record.rate.offered_per_s = None;
        record.args.mode = Mode::Closed;
        assert_eq!(checked("achieved>=0.99", &record).found, "n/a (a closed loop offers no rate)");
    }
}
