//! The work service: an echo that takes its time.
//!
//! Each read is a request. With one outstanding request per connection that is exact. With several,
//! those that arrive together count as one.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::{Connection, Service};
use crate::server::config::ranges::{WORK_TIME, expect_time};
use crate::server::error::OutOfRange;

/// How a request spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// Computing: the shard serves no other connection meanwhile.
    Spin,
    /// Waiting, as for a disk or another server: the shard serves other connections.
    Sleep,
}

/// How the times of requests are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDistribution {
    /// Every request takes the same time.
    Constant,
    /// Exponential with this mean (M in queueing theory).
    Exponential,
}

/// An echo service whose requests take time, for load experiments. As text: `spin:200us`,
/// `sleep:exp:5ms` and so on.
///
/// ```
/// use std::time::Duration;
/// use evshard::server::{TimeDistribution, Work, WorkKind};
///
/// let mean = Duration::from_millis(5);
/// let work = Work::new(WorkKind::Sleep, TimeDistribution::Exponential, mean, 1)?;
/// assert_eq!(work.to_string(), "sleep:exp:5ms");
/// # Ok::<(), evshard::server::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    kind: WorkKind,
    distribution: TimeDistribution,
    mean: Duration,
    random: fastrand::Rng,
}

impl Work {
    /// Requests that take `mean` each, or on average. Random times come from `seed`: the same seed
    /// gives the same times in each shard.
    ///
    /// # Errors
    ///
    /// If `mean` is out of its range ([`WORK_TIME`]).
    pub fn new(
        kind: WorkKind,
        distribution: TimeDistribution,
        mean: Duration,
        seed: u64,
    ) -> Result<Self, OutOfRange> {
        expect_time(&WORK_TIME, "the time of a request", mean)?;
        Ok(Self { kind, distribution, mean, random: fastrand::Rng::with_seed(seed) })
    }

    fn next_time(&mut self) -> Duration {
        match self.distribution {
            TimeDistribution::Constant => self.mean,
            TimeDistribution::Exponential => {
                // Above 0 and at most 1, so that the logarithm is finite.
                let fraction = 1.0 - self.random.f64();
                self.mean.mul_f64(-fraction.ln())
            }
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        let mean = Duration::from_micros(200);
        Self::new(WorkKind::Spin, TimeDistribution::Constant, mean, 1).expect("a time in the range")
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write spin:TIME or sleep:TIME, with exp: before a mean time, such as sleep:exp:5ms"
                .to_owned()
        };
        let (kind, time) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "spin" => WorkKind::Spin,
            "sleep" => WorkKind::Sleep,
            _ => return Err(wrong()),
        };
        let (distribution, time) = match time.strip_prefix("exp:") {
            Some(mean) => (TimeDistribution::Exponential, mean),
            None => (TimeDistribution::Constant, time),
        };
        let mean = humantime::parse_duration(time).map_err(|_| wrong())?;
        Self::new(kind, distribution, mean, 1).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == WorkKind::Spin { "spin" } else { "sleep" };
        let distribution =
            if self.distribution == TimeDistribution::Exponential { "exp:" } else { "" };
        write!(f, "{kind}:{distribution}{}", humantime::format_duration(self.mean))
    }
}

impl Service for Work {
    /// The reply to send when the pause is over.
    type Session = Vec<u8>;
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) -> Vec<u8> {
        Vec::new()
    }

    fn receive(
        &mut self,
        answer: &mut Vec<u8>,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let time = self.next_time();
        match self.kind {
            WorkKind::Spin => {
                let end = Instant::now() + time;
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                connection.send(input);
            }
            WorkKind::Sleep => {
                answer.extend_from_slice(input);
                connection.pause_for(time);
            }
        }
        input.len()
    }

    fn resume(&mut self, answer: &mut Vec<u8>, connection: &mut Connection<'_, Self>) {
        connection.send(answer);
        // An idle connection keeps no memory.
        *answer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_parses_to_the_same_text() {
        for text in ["spin:200us", "sleep:5ms", "spin:exp:1ms", "sleep:exp:2s"] {
            assert_eq!(text.parse::<Work>().unwrap().to_string(), text);
        }
        for text in ["", "spin", "spin:", "wait:1ms", "spin:exp", "spin:exp:", "spin:-1ms"] {
            assert!(!text.parse::<Work>().unwrap_err().is_empty(), "{text}");
        }
    }

    #[test]
    fn exponential_times_have_the_requested_mean_and_distribution() {
        let mean = Duration::from_millis(1);
        let mut work = Work::new(WorkKind::Spin, TimeDistribution::Exponential, mean, 7).unwrap();
        let times: Vec<f64> = (0..100_000).map(|_| work.next_time().as_secs_f64() * 1e3).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let beyond = times.iter().filter(|time| **time > 3.0).count() as f64 / times.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((beyond - (-3.0_f64).exp()).abs() < 0.005, "{beyond}");
    }
}
