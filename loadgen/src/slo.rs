//! Service-level objectives: `p99<1ms`, `err<0.1%`, `achieved>=0.99`.

use std::fmt;
use std::str::FromStr;

use crate::latency::{Distribution, PERCENTILES, Percentile};
use crate::schedule::Rate;
use crate::units;

/// One objective: a metric, a comparison, a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slo {
    text: String,
    metric: Metric,
    /// Whether the limit itself meets the objective.
    inclusive: bool,
    /// In the metric's unit: nanoseconds, a share, requests per second.
    limit: f64,
}

impl Slo {
    /// The number that the objective limits.
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// The percentile that the objective limits, if it limits one.
    pub(crate) fn percentile(&self) -> Option<Percentile> {
        match self.metric {
            Metric::Time(_, Statistic::Percentile(percentile)) => Some(percentile.into()),
            _ => None,
        }
    }

    /// The limit, in the metric's unit.
    pub(crate) fn limit(&self) -> f64 {
        self.limit
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

/// A number of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// A statistic of a distribution; if none is named, of the headline latency.
    Time(Option<Distribution>, Statistic),
    /// Requests without a correct reply, divided by requests scheduled.
    Errors,
    /// Achieved rate divided by offered rate.
    Achieved,
    /// Measured requests per second.
    Rate,
}

/// A number of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    Percentile(PercentileIndex),
    Max,
    Mean,
}

/// Index of a percentile in [`PERCENTILES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PercentileIndex(usize);

impl From<PercentileIndex> for Percentile {
    fn from(known: PercentileIndex) -> Self {
        PERCENTILES[known.0]
    }
}

impl Metric {
    /// Whether smaller values are better.
    fn is_better_low(self) -> bool {
        matches!(self, Self::Time(..) | Self::Errors)
    }

    /// The value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Time(..) => units::brief(value as u64),
            Self::Errors => format!("{:.3} %", 100.0 * value),
            Self::Achieved => format!("{value:.4}"),
            Self::Rate => format!("{} requests/s", units::rate(value)),
        }
    }
}

/// The distributions that an objective may limit.
const DISTRIBUTIONS: [Distribution; 5] = [
    Distribution::Response,
    Distribution::Service,
    Distribution::Lateness,
    Distribution::Connect,
    Distribution::Handshake,
];

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "err" => return Ok(Self::Errors),
            "achieved" => return Ok(Self::Achieved),
            "rate" => return Ok(Self::Rate),
            _ => {}
        }
        if let Some(statistic) = statistic(text) {
            return Ok(Self::Time(None, statistic?));
        }
        let Some((name, rest)) = text.split_once('.') else {
            return Err(format!(
                "'{text}' is no metric; write p99, max, mean, err, achieved or rate"
            ));
        };
        let known = DISTRIBUTIONS.into_iter().find(|known| known.name() == name);
        let distribution = known.ok_or_else(|| {
            format!(
                "'{name}' is no distribution; write response, service, lateness, connect or \
                 handshake"
            )
        })?;
        let statistic = statistic(rest)
            .ok_or_else(|| format!("'{rest}' is no statistic; write p99, max or mean"))??;
        Ok(Self::Time(Some(distribution), statistic))
    }
}

/// The statistic that the text names. An error says why the record does not contain it.
fn statistic(text: &str) -> Option<Result<Statistic, String>> {
    match text {
        "max" => return Some(Ok(Statistic::Max)),
        "mean" => return Some(Ok(Statistic::Mean)),
        _ => {}
    }
    text.strip_prefix('p')?.parse::<f64>().ok()?;
    let place = PERCENTILES.iter().position(|percentile| percentile.label == text);
    Some(place.map(|place| Statistic::Percentile(PercentileIndex(place))).ok_or_else(|| {
        format!("{text} is not in the record; write p50, p90, p99, p99.9 or p99.99")
    }))
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (distribution, statistic) = match self {
            Self::Errors => return formatter.write_str("err"),
            Self::Achieved => return formatter.write_str("achieved"),
            Self::Rate => return formatter.write_str("rate"),
            Self::Time(distribution, statistic) => (distribution, statistic),
        };
        if let Some(distribution) = distribution {
            write!(formatter, "{}.", distribution.name())?;
        }
        formatter.write_str(match statistic {
            Statistic::Percentile(known) => Percentile::from(*known).label,
            Statistic::Max => "max",
            Statistic::Mean => "mean",
        })
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
