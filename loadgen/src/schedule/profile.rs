//! The rate as a user writes it: `50k`, `10k..50k`, `10k,20k,40k@5s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::times::Times;

/// Lowest and highest rates: one request in a quarter of an hour, one each nanosecond.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e9;

/// Requests per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Rate(f64);

impl Rate {
    /// This many requests per second, clamped to the range that can be scheduled.
    pub(crate) fn per_s(per_s: f64) -> Self {
        Self(per_s.clamp(RATE_MIN, RATE_MAX))
    }

    /// Requests per second.
    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (digits, factor) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'm' | 'M')) => (&text[..at], 1e6),
            _ => (text, 1.0),
        };
        let rate = digits.parse::<f64>().map(|rate| rate * factor);
        match rate {
            Ok(rate) if (RATE_MIN..=RATE_MAX).contains(&rate) => Ok(Self(rate)),
            Ok(_) => {
                Err(format!("a rate must be positive, between {RATE_MIN} and 1000M per second"))
            }
            Err(_) => Err(format!("'{text}' is no rate; write 500, 20k or 1.5M")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
        match self.0 {
            rate if rate >= 1e6 => write!(formatter, "{}M", rounded(rate / 1e6)),
            rate if rate >= 1e4 => write!(formatter, "{}k", rounded(rate / 1e3)),
            rate => write!(formatter, "{}", rounded(rate)),
        }
    }
}

/// The rate over the measured window; the warm-up has its first rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RateProfile {
    Flat(Rate),
    /// A straight line from the beginning of the window to its end.
    Ramp(Rate, Rate),
    /// One rate after the other, each for the duration `each`, or for an equal part of the window.
    Steps {
        rates: Vec<Rate>,
        each: Option<Duration>,
    },
    /// Each request at a time of its own, which no flag has.
    Timed(Times),
}

impl FromStr for RateProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((from, to)) = text.split_once("..") {
            return Ok(Self::Ramp(from.parse()?, to.parse()?));
        }
        let (rates, each) = match text.split_once('@') {
            Some((rates, each)) => (rates, Some(step(each)?)),
            None => (text, None),
        };
        let rates: Vec<Rate> = rates.split(',').map(str::parse).collect::<Result<_, _>>()?;
        match rates.as_slice() {
            [rate] if each.is_none() => Ok(Self::Flat(*rate)),
            _ => Ok(Self::Steps { rates, each }),
        }
    }
}

fn step(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(each) if each > Duration::ZERO => Ok(each),
        Ok(_) => Err("a step must take longer than nothing".to_owned()),
        Err(error) => Err(format!("'{text}' is no length of a step: {error}")),
    }
}

impl fmt::Display for RateProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timed(times) => write!(formatter, "mean {}", times.mean()),
            Self::Flat(rate) => rate.fmt(formatter),
            Self::Ramp(from, to) => write!(formatter, "{from}..{to}"),
            Self::Steps { rates, each } => {
                let rates: Vec<String> = rates.iter().map(ToString::to_string).collect();
                formatter.write_str(&rates.join(","))?;
                match each {
                    Some(each) => write!(formatter, "@{}", humantime::format_duration(*each)),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> RateProfile {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn rates_have_human_units_and_print_as_they_are_read() {
        for text in ["500", "20k", "1.5M", "0.5", "9500", "12.345k"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("2000k".parse::<Rate>().unwrap().get(), 2e6);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_an_example() {
        for text in ["", "k", "many", "10 %", "1e", "--5"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("write 500"), "{text}");
        }
        for text in ["0", "-1", "2000M", "inf", "NaN"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("between"), "{text}");
        }
    }

    #[test]
    fn profiles_are_flat_ramps_or_steps_and_print_as_they_are_read() {
        assert!(matches!(profile("50k"), RateProfile::Flat(_)));
        for text in ["50k", "10k..50k", "10k,20k,40k", "10k,20k@5s", "100@1s"] {
            assert_eq!(profile(text).to_string(), text);
        }
        assert!("10k@0s".parse::<RateProfile>().is_err());
        assert!("10k@".parse::<RateProfile>().is_err());
        assert!("10k..".parse::<RateProfile>().is_err());
    }
}
