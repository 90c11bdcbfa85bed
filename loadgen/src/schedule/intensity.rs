//! A rate profile over a run's time: the number of requests due by a time, and the inverse.
//!
//! Time is divided into segments. In each the rate is a straight line, so the number of requests
//! due is a parabola (a line where the rate is flat). Its inverse is the time of a given request.

use std::time::Duration;

use super::profile::RateProfile;
use super::times::Times;

/// Requests due over the time of a run, in nanoseconds from its start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Intensity {
    /// In order of time; the last segment has no end.
    Rates(Vec<Segment>),
    /// Each request has its own time, and there are no more.
    Times(Times),
}

/// A period in which the rate is a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Segment {
    from_ns: f64,
    /// Requests due before it.
    before: f64,
    /// Requests per nanosecond at its beginning.
    rate: f64,
    /// Change of that rate per nanosecond.
    slope: f64,
}

impl Segment {
    fn due(&self, at_ns: f64) -> f64 {
        let elapsed_ns = at_ns - self.from_ns;
        self.before + (self.rate + self.slope * elapsed_ns / 2.0) * elapsed_ns
    }

    /// The time after which `number` requests are due. This form of the quadratic formula has no
    /// cancellation, and also holds if the slope is zero.
    fn at_ns(&self, number: f64) -> f64 {
        let missing = number - self.before;
        let under_root = self.rate * self.rate + 2.0 * self.slope * missing;
        self.from_ns + 2.0 * missing / (self.rate + under_root.max(0.0).sqrt())
    }
}

impl Intensity {
    /// The profile over a run: its first rate in the warm-up, then the profile over the window,
    /// then its last rate.
    pub(crate) fn new(profile: &RateProfile, warmup: Duration, window: Duration) -> Self {
        let mut segments = Segments::default();
        match profile {
            RateProfile::Flat(rate) => segments.last(rate.get()),
            RateProfile::Ramp(from, to) => {
                segments.push(warmup, from.get(), from.get());
                segments.push(window, from.get(), to.get());
                segments.last(to.get());
            }
            RateProfile::Steps { rates, each } => {
                let each = each.unwrap_or_else(|| window / rates.len().max(1) as u32);
                segments.push(warmup, rates[0].get(), rates[0].get());
                for rate in rates {
                    segments.push(each, rate.get(), rate.get());
                }
                segments.last(rates[rates.len() - 1].get());
            }
            RateProfile::Timed(times) => return Self::Times(times.clone()),
        }
        Self::Rates(segments.done)
    }

    /// When request number `number` (from 0, of all connections together) is due, in nanoseconds
    /// from the start of the run. A request that does not exist is never due.
    pub(crate) fn time_of(&self, number: f64) -> u64 {
        match self {
            Self::Rates(segments) => {
                let after = segments.partition_point(|segment| segment.before <= number);
                // Rounded up, so that no request is sent before its time.
                segments[after.saturating_sub(1)].at_ns(number).ceil() as u64
            }
            Self::Times(times) => times.get(number as usize).unwrap_or(u64::MAX),
        }
    }

    /// How many requests are due within the first `at_ns` nanoseconds, on average.
    pub(crate) fn due_by(&self, at_ns: u64) -> f64 {
        match self {
            Self::Rates(segments) => {
                let at_ns = at_ns as f64;
                let after = segments.partition_point(|segment| segment.from_ns <= at_ns);
                segments[after.saturating_sub(1)].due(at_ns)
            }
            Self::Times(times) => times.due_by(at_ns) as f64,
        }
    }
}

/// A row of segments under construction.
#[derive(Debug, Default)]
struct Segments {
    done: Vec<Segment>,
    end_ns: f64,
    due: f64,
}

impl Segments {
    /// Adds a segment of a given length, unless it is empty.
    fn push(&mut self, length: Duration, from_per_s: f64, to_per_s: f64) {
        let length_ns = length.as_nanos() as f64;
        if length_ns == 0.0 {
            return;
        }
        let (rate, end_rate) = (from_per_s / 1e9, to_per_s / 1e9);
        let slope = (end_rate - rate) / length_ns;
        let segment = Segment { from_ns: self.end_ns, before: self.due, rate, slope };
        self.end_ns += length_ns;
        self.due = segment.due(self.end_ns);
        self.done.push(segment);
    }

    /// Adds the segment that has no end.
    fn last(&mut self, per_s: f64) {
        let rate = per_s / 1e9;
        self.done.push(Segment { from_ns: self.end_ns, before: self.due, rate, slope: 0.0 });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intensity(profile: &str) -> Intensity {
        let profile = profile.parse().unwrap();
        Intensity::new(&profile, Duration::from_secs(1), Duration::from_secs(10))
    }

    #[test]
    fn a_flat_rate_puts_requests_at_equal_distances() {
        let flat = intensity("2000");
        let times: Vec<u64> = (0..4).map(|n| flat.time_of(f64::from(n))).collect();
        assert_eq!(times, [0, 500_000, 1_000_000, 1_500_000]);
        assert_eq!(flat.due_by(3_000_000_000), 6_000.0);
    }

    #[test]
    fn an_odd_rate_does_not_drift_in_a_day() {
        let flat = intensity("300");
        let day = 24 * 3_600;
        assert_eq!(flat.time_of(300.0 * f64::from(day)), u64::from(day as u32) * 1_000_000_000);
    }

    #[test]
    fn a_ramp_has_its_mean_rate_and_the_first_rate_before_it() {
        let ramp = intensity("1000..3000");
        assert!((ramp.due_by(1_000_000_000) - 1_000.0).abs() < 1e-6);
        assert!((ramp.due_by(11_000_000_000) - 21_000.0).abs() < 1e-6);
        assert!((ramp.due_by(6_000_000_000) - (1_000.0 + 5.0 * 1_500.0)).abs() < 1e-6);
        assert!((ramp.due_by(12_000_000_000) - 24_000.0).abs() < 1e-6);
    }

    #[test]
    fn steps_share_the_window_or_take_as_long_as_requested() {
        let shared = intensity("1000,3000");
        assert!((shared.due_by(6_000_000_000) - 6_000.0).abs() < 1e-6);
        assert!((shared.due_by(11_000_000_000) - 21_000.0).abs() < 1e-6);
        let with_length = intensity("1000,3000@1s");
        assert!((with_length.due_by(11_000_000_000) - (2_000.0 + 27_000.0)).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_time_of_a_request_is_where_its_number_is_reached(
            rates in prop::collection::vec(1.0_f64..1e6, 1..5),
            ramp: bool,
            share in 0.0_f64..1.5,
        ) {
            let words: Vec<String> = rates.iter().map(f64::to_string).collect();
            let text = match (ramp, words.as_slice()) {
                (true, [from, to, ..]) => format!("{from}..{to}"),
                _ => words.join(","),
            };
            let intensity = intensity(&text);
            let number = (share * intensity.due_by(11_000_000_000)).floor();
            let at_ns = intensity.time_of(number);
            // Up to the nanosecond that was rounded up, and what a float cannot hold.
            let slack = 1e6 * 1e-9 + number * 1e-9;
            prop_assert!(intensity.due_by(at_ns) + slack >= number);
            prop_assert!(intensity.due_by(at_ns.saturating_sub(1)) - slack <= number);
        }
    }
}
