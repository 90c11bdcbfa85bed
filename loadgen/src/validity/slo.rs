//! Service-level objectives: `p99<1ms`, `err<0.1%`, `achieved>=0.99`.

use std::fmt;
use std::str::FromStr;

use super::metric::{Found, Metric, Statistic};
use crate::latency::Percentile;
use crate::record::{Record, SloRecord};
use crate::schedule::Rate;
use crate::units;

/// One objective: a metric, a comparison, a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slo {
    text: String,
    metric: Metric,
    /// Whether the limit itself is still good.
    inclusive: bool,
    /// In the metric's unit: nanoseconds, a share, requests per second.
    limit: f64,
}

/// What can be said about an objective at the 95 % level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Met wherever in its confidence interval the truth lies.
    Passed,
    /// Missed wherever it lies.
    Failed,
    /// The interval contains the limit, or is not known; a longer run may tell.
    Undecided,
}

impl Slo {
    /// Whether `record` meets it: by the value found, as far as that is known.
    pub(crate) fn check(&self, record: &Record) -> SloRecord {
        let found = self.metric.of(record);
        let text = match found {
            Found::Exactly(value) => self.metric.show(value),
            Found::AtLeast(value) => format!("at least {}", self.metric.show(value)),
            Found::Unknown => self.why_unknown(record),
        };
        SloRecord { objective: self.text.clone(), met: self.met(found), found: text }
    }

    /// Whether it is met or missed with confidence, for whoever can still measure longer.
    ///
    /// A percentile passes by the upper end of its confidence interval and fails by the lower one.
    /// What has no interval (extremes, means, rates) decides by its value, which is exact.
    pub(crate) fn decide(&self, record: &Record) -> Decision {
        let Some((low, high)) = self.metric.ends(record) else { return Decision::Undecided };
        match (self.met(low), self.met(high)) {
            (Some(true), Some(true)) => Decision::Passed,
            (Some(false), Some(false)) => Decision::Failed,
            _ => Decision::Undecided,
        }
    }

    /// The percentile that the objective is about, if it is about one.
    pub(super) fn percentile(&self) -> Option<Percentile> {
        match self.metric {
            Metric::Time(_, Statistic::Percentile(percentile)) => Some(percentile.into()),
            _ => None,
        }
    }

    fn met(&self, found: Found) -> Option<bool> {
        match found {
            Found::Exactly(value) => Some(self.holds(value)),
            // What is too long already cannot get shorter.
            Found::AtLeast(value) => (!self.holds(value)).then_some(false),
            Found::Unknown => None,
        }
    }

    fn holds(&self, value: f64) -> bool {
        let better =
            if self.metric.is_better_low() { value < self.limit } else { value > self.limit };
        better || self.inclusive && value == self.limit
    }

    fn why_unknown(&self, record: &Record) -> String {
        match (self.percentile(), self.metric.latency(record)) {
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

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("'{text}' is no objective: {why}");
        let at = text.find(['<', '>']).ok_or_else(|| {
            invalid("write a metric, a comparison and a limit, such as p99<1ms or rate>=10k")
        })?;
        let (name, rest) = text.split_at(at);
        let (sign, limit) = rest.split_at(1);
        let (inclusive, limit) = match limit.strip_prefix('=') {
            Some(limit) => (true, limit.trim()),
            None => (false, limit.trim()),
        };
        let metric: Metric = name.trim().parse().map_err(|why: String| invalid(&why))?;
        if (sign == "<") != metric.is_better_low() {
            let needed = if metric.is_better_low() { "<" } else { ">" };
            return Err(invalid(&format!("{metric} is good where it is {needed} a limit")));
        }
        let limit = limit_of(metric, limit).map_err(|why| invalid(&why))?;
        let text = format!("{metric}{sign}{}{}", if inclusive { "=" } else { "" }, limit.0);
        Ok(Self { text, metric, inclusive, limit: limit.1 })
    }
}

/// The limit as written and in the metric's unit.
fn limit_of(metric: Metric, text: &str) -> Result<(&str, f64), String> {
    let limit = match metric {
        Metric::Time(..) => nanoseconds(text)?,
        Metric::Errors | Metric::Achieved => share(text)?,
        Metric::Rate => text.parse::<Rate>()?.get(),
    };
    Ok((text, limit))
}

/// A duration as one number with its unit: "1.5ms".
fn nanoseconds(text: &str) -> Result<f64, String> {
    let unit_at = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_ns = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return Err(format!("'{text}' is no duration; write 250us, 1.5ms or 2s")),
    };
    positive(number).map(|number| number * unit_ns)
}

/// A share as a fraction or in percent: "0.001", "0.1%".
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => positive(percent)? / 100.0,
        None => positive(text)?,
    };
    if share <= 1.0 {
        Ok(share)
    } else {
        Err(format!("'{text}' is more than everything; write 0.1% or 0.001"))
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("'{text}' is no number of 0 or more")),
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
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
    fn objectives_of_every_kind_are_understood_and_written_as_given() {
        for text in [
            "p99<1ms",
            "p99.9<=5ms",
            "p50<80us",
            "max<50ms",
            "mean<1.5ms",
            "err<0.1%",
            "err<=0.001",
            "achieved>=0.99",
            "rate>=10k",
            "service.p99<2ms",
            "connect.max<1s",
        ] {
            assert_eq!(slo(text).to_string(), text);
        }
        assert_eq!(slo(" p99 < 1ms "), slo("p99<1ms"));
        assert_eq!((slo("p99<1.5ms").limit, slo("err<0.1%").limit), (1_500_000.0, 0.001));
    }

    #[test]
    fn what_is_no_objective_is_refused_with_what_would_be_one() {
        for (text, advice) in [
            ("p99", "write a metric, a comparison and a limit"),
            ("p99<5", "write 250us"),
            ("p95<5ms", "p50, p90, p99, p99.9 or p99.99"),
            ("p99>5ms", "good where it is <"),
            ("rate<5k", "good where it is >"),
            ("err<-1%", "no number of 0 or more"),
            ("err<200%", "more than everything"),
            ("speed>5", "no metric"),
            ("wrong.p99<5ms", "no distribution"),
        ] {
            let error = text.parse::<Slo>().unwrap_err();
            assert!(error.contains(advice), "{error}");
        }
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
