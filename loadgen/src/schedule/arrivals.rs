//! One connection's share of the requests: when its request `k` is due.
//!
//! Every connection has a schedule of its own, so the threads share no schedule.
//!
//! - Constant: the connections take turns. Request `k` of connection `c` of `n` is the run's
//!   request `k * n + c`.
//! - Timed: the same, at times that a file has.
//! - Poisson: a connection's gaps are exponential, at an `n`th of the rate. All connections
//!   together are Poisson at the whole rate (superposition). A rate that changes is a change of
//!   time, by the [`Intensity`].

use std::fmt;
use std::str::FromStr;

use super::intensity::Intensity;
use super::random;

/// Gaps are multiples of 2^-32 of a request, so that their sums are exact.
const ONE: f64 = (1_u64 << 32) as f64;

/// Part of a seed from which the gaps are drawn.
const GAPS: u64 = 1 << 40;

/// How the requests of a rate are spread in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At random, independently of each other, as from many users.
    #[default]
    Poisson,
    /// At equal distances.
    Constant,
    /// At the times that they have in a file. No flag names this one.
    Timed,
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poisson" => Ok(Self::Poisson),
            "constant" | "const" => Ok(Self::Constant),
            _ => Err(format!("'{text}' is no arrival process; write poisson or constant")),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Poisson => "poisson",
            Self::Constant => "constant",
            Self::Timed => "timed",
        })
    }
}

/// The intended times of one connection, in order: a pure function of seed, connection and `k`.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    arrival: Arrival,
    connection: u32,
    connections: u32,
    key: u64,
    /// Number of the next request.
    next: u64,
    /// Poisson: sum of the gaps so far, in 2^-32 of the connection's mean gap.
    elapsed: u128,
}

impl Arrivals {
    /// The schedule of connection number `connection` of `connections`.
    pub(crate) fn new(arrival: Arrival, seed: u64, connection: u32, connections: u32) -> Self {
        let key = random::key(seed, GAPS + u64::from(connection));
        Self { arrival, connection, connections, key, next: 0, elapsed: 0 }
    }

    /// When the next request is due, in nanoseconds from the start of the run.
    pub(crate) fn advance(&mut self, intensity: &Intensity) -> u64 {
        let k = self.next;
        self.next += 1;
        let connections = f64::from(self.connections);
        match self.arrival {
            Arrival::Constant | Arrival::Timed => {
                intensity.time_of(k as f64 * connections + f64::from(self.connection))
            }
            Arrival::Poisson => {
                let gap = -(1.0 - random::unit(random::at(self.key, k))).ln();
                self.elapsed += (gap * ONE).round() as u128;
                intensity.time_of(self.elapsed as f64 / ONE * connections)
            }
        }
    }

    /// How many of the following requests are due before `end_ns`, in nanoseconds from the start of
    /// the run: computed, not counted. It is exact if [`Self::is_regular`], and a mean otherwise.
    pub(crate) fn left_before(&self, end_ns: u64, intensity: &Intensity) -> f64 {
        let connections = f64::from(self.connections);
        let of_all = intensity.due_by(end_ns);
        match self.arrival {
            Arrival::Poisson => (of_all / connections - self.elapsed as f64 / ONE).max(0.0),
            Arrival::Constant | Arrival::Timed => {
                let first = f64::from(self.connection);
                let is_due = |k: f64| intensity.time_of(k * connections + first) < end_ns;
                let next = self.next as f64;
                // The quotient is as exact as a float; the schedule decides.
                let mut end = ((of_all - first) / connections).ceil().max(next);
                while is_due(end) {
                    end += 1.0;
                }
                while end > next && !is_due(end - 1.0) {
                    end -= 1.0;
                }
                end - next
            }
        }
    }

    /// Whether the gaps follow from the rate alone, and not from chance.
    pub(crate) fn is_regular(&self) -> bool {
        self.arrival != Arrival::Poisson
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flat(rate: &str) -> Intensity {
        Intensity::new(&rate.parse().unwrap(), Duration::ZERO, Duration::from_secs(10))
    }

    fn times(arrival: Arrival, seed: u64, connection: u32, connections: u32) -> Vec<u64> {
        let intensity = flat("10k");
        let mut arrivals = Arrivals::new(arrival, seed, connection, connections);
        (0..10_000).map(|_| arrivals.advance(&intensity)).collect()
    }

    #[test]
    fn constant_arrivals_of_all_connections_together_are_evenly_spaced() {
        let mut all: Vec<u64> = (0..7).flat_map(|c| times(Arrival::Constant, 1, c, 7)).collect();
        all.sort_unstable();
        assert!(all.iter().zip(0_u64..).all(|(&at_ns, number)| at_ns == number * 100_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_seed_or_connection_gives_others() {
        let poisson = |seed, connection| times(Arrival::Poisson, seed, connection, 2);
        assert_eq!(poisson(1, 0), poisson(1, 0));
        assert_ne!(poisson(1, 0), poisson(2, 0));
        assert_ne!(poisson(1, 0), poisson(1, 1));
    }

    #[test]
    fn the_number_of_constant_arrivals_before_a_time_is_computed_exactly() {
        for profile in ["999.9", "1000M", "1000..70000", "3000,10,500@700ms"] {
            let profile = profile.parse().unwrap();
            let seconds = Duration::from_secs(2);
            let intensity = Intensity::new(&profile, Duration::from_millis(3), seconds);
            let mut arrivals = Arrivals::new(Arrival::Constant, 1, 2, 3);
            let mut later = arrivals.clone();
            let times: Vec<u64> = (0..500).map(|_| later.advance(&intensity)).collect();
            for (taken, &at_ns) in times.iter().enumerate() {
                arrivals.next = taken as u64 / 2;
                let left = |end_ns| arrivals.left_before(end_ns, &intensity);
                let counted = |end_ns| {
                    times[taken / 2..].iter().filter(|&&at_ns| at_ns < end_ns).count() as f64
                };
                assert_eq!(left(at_ns), counted(at_ns), "before request {taken}");
                if taken < 400 {
                    assert_eq!(left(at_ns + 1), counted(at_ns + 1), "with request {taken}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_poisson_arrivals_before_a_time_is_their_mean() {
        let intensity = flat("10k");
        let mut arrivals = Arrivals::new(Arrival::Poisson, 1, 2, 4);
        assert_eq!(arrivals.left_before(2_000_000_000, &intensity), 5_000.0);
        let next_ns = arrivals.advance(&intensity);
        let left = arrivals.left_before(2_000_000_000 + next_ns, &intensity);
        assert!((left - 5_000.0).abs() < 0.001, "{left}");
        assert_eq!(arrivals.left_before(next_ns / 2, &intensity), 0.0);
    }

    #[test]
    fn times_never_go_back() {
        for arrival in [Arrival::Poisson, Arrival::Constant] {
            assert!(times(arrival, 3, 1, 4).is_sorted());
        }
    }

    #[test]
    fn poisson_arrivals_have_the_requested_rate_and_exponential_gaps() {
        // 40,000 requests at 10,000 per second over 4 connections.
        let mut all: Vec<u64> = (0..4).flat_map(|c| times(Arrival::Poisson, 5, c, 4)).collect();
        all.sort_unstable();
        all.retain(|&at_ns| at_ns < 3_500_000_000);
        let expected = 35_000.0_f64;
        assert!((all.len() as f64 - expected).abs() < 4.0 * expected.sqrt(), "{}", all.len());
        let gaps = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 100_000.0);
        let longer_than = |mean_gaps: f64| {
            gaps.clone().filter(|&gap| gap > mean_gaps).count() as f64 / all.len() as f64
        };
        for mean_gaps in [0.1_f64, 0.5, 1.0, 2.0, 4.0] {
            let exponential = (-mean_gaps).exp();
            assert!((longer_than(mean_gaps) - exponential).abs() < 0.01, "{mean_gaps}");
        }
    }
}
