//! One connection's share of the requests: when its request `k` is due.
//!
//! Every connection has a schedule of its own, so the threads share no schedule.
//!
//! - Constant: the connections take turns. Request `k` of connection `c` of `n` is the run's
//!   request `k * n + c`.
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
            Arrival::Constant => {
                intensity.time_of(k as f64 * connections + f64::from(self.connection))
            }
            Arrival::Poisson => {
                let gap = -(1.0 - random::unit(random::at(self.key, k))).ln();
                self.elapsed += (gap * ONE).round() as u128;
                intensity.time_of(self.elapsed as f64 / ONE * connections)
            }
        }
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
