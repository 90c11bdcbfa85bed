//! Service-level objectives: `p99<1ms`, `err<0.1%`, `achieved>=0.99`.

use std::fmt;
use std::str::FromStr;

mod metric;

pub(crate) use self::metric::{Metric, Statistic};
use crate::latency::Percentile;
use crate::schedule::Rate;

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

impl Slo {
    /// The number that the objective limits.
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// The percentile that the objective is about, if it is about one.
    pub(crate) fn percentile(&self) -> Option<Percentile> {
        match self.metric {
            Metric::Time(_, Statistic::Percentile(percentile)) => Some(percentile.into()),
            _ => None,
        }
    }

    /// Whether a value of the metric, in its unit, meets the objective.
    pub(crate) fn holds(&self, value: f64) -> bool {
        let better =
            if self.metric.is_better_low() { value < self.limit } else { value > self.limit };
        better || self.inclusive && value == self.limit
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

    fn slo(text: &str) -> Slo {
        text.parse().unwrap()
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
}
