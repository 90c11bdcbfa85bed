//! Whether a record meets an objective, and with which confidence.

use crate::latency::Distribution;
use crate::record::{LatencyRecord, Record, SloRecord};
use crate::slo::{Metric, Slo, Statistic};
use crate::units;

/// The decision about an objective at the 95 % level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The whole confidence interval meets it.
    Passed,
    /// The whole confidence interval misses it.
    Failed,
    /// The interval contains the limit, or there is none. A longer run may decide.
    Undecided,
}

/// A number that may be a lower bound.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bounded {
    Exactly(f64),
    /// A lower bound: with the unanswered requests it would be larger.
    AtLeast(f64),
    Unknown,
}

impl Slo {
    /// Whether `record` meets it: by the value found, as far as that is known.
    pub(crate) fn check(&self, record: &Record) -> SloRecord {
        let found = self.metric().of(record);
        let text = match found {
            Bounded::Exactly(value) => self.metric().show(value),
            Bounded::AtLeast(value) => format!("at least {}", self.metric().show(value)),
            Bounded::Unknown => self.why_unknown(record),
        };
        SloRecord { objective: self.to_string(), met: self.met(found), found: text }
    }

    /// Whether it is met or missed with confidence; if neither, a longer measurement can decide.
    ///
    /// A percentile passes by the upper end of its confidence interval and fails by the lower one.
    /// What has no interval (extremes, means, rates) decides by its value, which is exact.
    pub(crate) fn decide(&self, record: &Record) -> Decision {
        let Some((low, high)) = self.metric().ends(record) else { return Decision::Undecided };
        match (self.met(low), self.met(high)) {
            (Some(true), Some(true)) => Decision::Passed,
            (Some(false), Some(false)) => Decision::Failed,
            _ => Decision::Undecided,
        }
    }

    fn met(&self, found: Bounded) -> Option<bool> {
        match found {
            Bounded::Exactly(value) => Some(self.holds(value)),
            // What is too long already cannot get shorter.
            Bounded::AtLeast(value) => (!self.holds(value)).then_some(false),
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

    /// The ends of its 95 % confidence interval. Both are the value itself if it is exact.
    fn ends(self, record: &Record) -> Option<(Bounded, Bounded)> {
        match (self, self.latency(record)) {
            (Self::Time(_, Statistic::Percentile(known)), Some(latency)) => {
                let [low, high] = latency.ci95_at(known.into())?;
                Some((found(latency, low), found(latency, high)))
            }
            _ => Some((self.of(record), self.of(record))),
        }
    }
}

impl Statistic {
    fn of(self, latency: &LatencyRecord) -> Bounded {
        let value = match self {
            Self::Percentile(known) => latency.at(known.into()),
            Self::Max => latency.max,
            Self::Mean if latency.censored > 0 => {
                return latency.mean.map_or(Bounded::Unknown, |mean| Bounded::AtLeast(mean as f64));
            }
            Self::Mean => latency.mean,
        };
        value.map_or(Bounded::Unknown, |value| found(latency, value))
    }
}

/// A value of a distribution, which may be a lower bound.
fn found(latency: &LatencyRecord, value_ns: u64) -> Bounded {
    let bound = latency.is_at_least(value_ns);
    if bound { Bounded::AtLeast(value_ns as f64) } else { Bounded::Exactly(value_ns as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;

    fn open() -> Record {
        sample::open().record
    }

    fn slo(text: &str) -> Slo {
        text.parse().unwrap()
    }

    fn met(text: &str, record: &Record) -> Option<bool> {
        slo(text).check(record).met
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
        record.latency_ns.response.ci95.remove("p9999");
        let checked = slo("p99.99<1s").check(&record);
        assert_eq!(checked.met, None);
        assert!(
            checked.found.starts_with("n/a (needs n >= 36887, there are "),
            "{}",
            checked.found
        );
        assert_eq!(slo("p99.99<1s").decide(&record), Decision::Undecided);
    }

    #[test]
    fn a_lower_bound_can_miss_but_never_meet() {
        let mut record = open();
        record.latency_ns.response.p99 = Some(2_000_000);
        record.latency_ns.response.censored = 10;
        record.latency_ns.response.at_least_from = Some(1_500_000);
        record.latency_ns.response.max = Some(9_000_000);
        assert_eq!(met("p99<1ms", &record), Some(false));
        assert_eq!(met("p99<3ms", &record), None);
        assert_eq!(slo("p99<3ms").check(&record).found, "at least 2.00 ms");
        assert_eq!(met("max<60s", &record), None);
        assert_eq!(met("mean<60s", &record), None);
    }

    #[test]
    fn confidence_passes_by_the_upper_end_and_fails_by_the_lower_one() {
        let mut record = open();
        record.latency_ns.response.p99 = Some(1_000_000);
        let interval = [900_000, 1_200_000];
        record.latency_ns.response.ci95.insert("p99".to_owned(), interval);
        assert_eq!(slo("p99<1.3ms").decide(&record), Decision::Passed);
        assert_eq!(slo("p99<=1.2ms").decide(&record), Decision::Passed);
        assert_eq!(slo("p99<1.2ms").decide(&record), Decision::Undecided);
        assert_eq!(slo("p99<=900us").decide(&record), Decision::Undecided);
        assert_eq!(slo("p99<900us").decide(&record), Decision::Failed);
        record.latency_ns.response.at_least_from = Some(1_100_000);
        assert_eq!(slo("p99<1.3ms").decide(&record), Decision::Undecided, "the end is a bound");
        record.latency_ns.response.ci95.clear();
        assert_eq!(slo("p99<1.3ms").decide(&record), Decision::Undecided);
    }

    #[test]
    fn errors_are_all_requests_without_a_right_reply() {
        let mut record = open();
        record.counters.scheduled = 10_000;
        record.counters.completed = 9_990;
        assert_eq!(met("err<0.1%", &record), Some(false));
        assert_eq!(met("err<=0.1%", &record), Some(true));
        assert_eq!(slo("err<=0.1%").decide(&record), Decision::Passed);
        assert_eq!(slo("err<0.1%").check(&record).found, "0.100 %");
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
        record.rate.offered_per_s = None;
        assert_eq!(
            slo("achieved>=0.99").check(&record).found,
            "n/a (a closed loop offers no rate)"
        );
    }
}
