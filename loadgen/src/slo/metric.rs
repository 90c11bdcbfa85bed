//! What an objective is about: a statistic of a distribution, or a share, or a rate.

use std::fmt;
use std::str::FromStr;

use crate::latency::{Distribution, PERCENTILES, Percentile};
use crate::units;

/// A number of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Of a distribution; without one, of the headline latency.
    Time(Option<Distribution>, Statistic),
    /// Requests without a right reply, by requests scheduled.
    Errors,
    /// Achieved by offered rate.
    Achieved,
    /// Measured requests per second.
    Rate,
}

/// A number of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    Percentile(Known),
    Max,
    Mean,
}

/// Index of a percentile in [`PERCENTILES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known(usize);

impl From<Known> for Percentile {
    fn from(known: Known) -> Self {
        PERCENTILES[known.0]
    }
}

impl Metric {
    /// Whether less is better.
    pub(crate) fn is_better_low(self) -> bool {
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

/// Those that an objective may be about.
const DISTRIBUTIONS: [Distribution; 4] =
    [Distribution::Response, Distribution::Service, Distribution::Lateness, Distribution::Connect];

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
            format!("'{name}' is no distribution; write response, service, lateness or connect")
        })?;
        let statistic = statistic(rest)
            .ok_or_else(|| format!("'{rest}' is no statistic; write p99, max or mean"))??;
        Ok(Self::Time(Some(distribution), statistic))
    }
}

/// The statistic, if the text is one at all, or why the record does not contain it.
fn statistic(text: &str) -> Option<Result<Statistic, String>> {
    match text {
        "max" => return Some(Ok(Statistic::Max)),
        "mean" => return Some(Ok(Statistic::Mean)),
        _ => {}
    }
    text.strip_prefix('p')?.parse::<f64>().ok()?;
    let place = PERCENTILES.iter().position(|percentile| percentile.label == text);
    Some(place.map(|place| Statistic::Percentile(Known(place))).ok_or_else(|| {
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
