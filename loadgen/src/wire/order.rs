//! How connections choose among the requests of a file, and among the rows of the data.

use std::fmt;
use std::str::FromStr;

use super::key_value::{KeyDistribution, KeySampler};
use crate::schedule::random;

/// How connections choose among requests or rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Order {
    /// All connections together take one after the other.
    #[default]
    Sequential,
    /// The same, each at the time that it has in the file.
    Timed,
    /// Every one equally often.
    Random,
    /// Every one as often as its weight says.
    Weighted,
    /// Number `i`, from 1, as often as `i` to the power of minus this exponent.
    Zipf(f64),
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sequential" => Ok(Self::Sequential),
            "timed" => Ok(Self::Timed),
            "random" => Ok(Self::Random),
            "weighted" => Ok(Self::Weighted),
            _ => match text.parse() {
                Ok(KeyDistribution::Zipf(exponent)) => Ok(Self::Zipf(exponent)),
                Err(why) if text.starts_with("zipf:") => Err(why),
                _ => Err(format!(
                    "'{text}' is no order; write sequential, timed, random, weighted or zipf:0.99"
                )),
            },
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequential => formatter.write_str("sequential"),
            Self::Timed => formatter.write_str("timed"),
            Self::Random => formatter.write_str("random"),
            Self::Weighted => formatter.write_str("weighted"),
            Self::Zipf(exponent) => write!(formatter, "zipf:{exponent}"),
        }
    }
}

/// Chooses one of several for each request of each connection.
#[derive(Debug)]
pub(super) enum Chooser {
    /// There is only one.
    One,
    /// Number `turn` of all connections takes this number, divided by `repeats`, modulo `count`.
    Sequential {
        count: u64,
        repeats: u64,
    },
    /// The sum of the weights up to each.
    Weighted(Vec<u64>),
    Sampled(KeySampler),
}

/// A request, for a choice: its number on a connection, and what the connection draws from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) connection: u32,
    pub(super) number: u64,
    /// The connections of the run.
    pub(super) connections: u32,
}

impl Chooser {
    /// Chooses among `count` ones, which is at least one. In a sequence, each is taken `repeats`
    /// times; with weights, as often as `weight` says.
    pub(super) fn new(order: Order, count: u32, repeats: u64, weight: impl Fn(u32) -> u32) -> Self {
        let sampled = |distribution| Self::Sampled(KeySampler::new(distribution, count, 1));
        match order {
            _ if count == 1 => Self::One,
            Order::Sequential | Order::Timed => Self::Sequential { count: count.into(), repeats },
            Order::Random => sampled(KeyDistribution::Uniform),
            Order::Zipf(exponent) => sampled(KeyDistribution::Zipf(exponent)),
            Order::Weighted => {
                let mut sum = 0;
                let up_to = (0..count).map(|number| {
                    sum += u64::from(weight(number));
                    sum
                });
                Self::Weighted(up_to.collect())
            }
        }
    }

    /// The one of this turn, whose draws belong to `stream`.
    pub(super) fn choose(&self, turn: Turn, stream: u64) -> u32 {
        match self {
            Self::One => 0,
            Self::Sequential { count, repeats } => {
                let before = turn.number.wrapping_mul(turn.connections.into());
                let all = before.wrapping_add(turn.connection.into());
                (all / repeats % count) as u32
            }
            Self::Weighted(up_to) => {
                let total = up_to.last().copied().unwrap_or_default();
                let number = u128::from(random::at(stream, turn.number));
                let place = ((number * u128::from(total)) >> 64) as u64;
                up_to.partition_point(|&sum| sum <= place) as u32
            }
            Self::Sampled(sampler) => sampler.key(stream, turn.connection, turn.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_value::tests::chi_square;
    use super::*;

    /// How often each of these was chosen by three connections.
    fn counts(text: &str, weights: &[u32]) -> Vec<u64> {
        let chooser = Chooser::new(text.parse().unwrap(), weights.len() as u32, 1, |number| {
            weights[number as usize]
        });
        let mut counts = vec![0; weights.len()];
        for connection in 0..3 {
            for number in 0..20_000 {
                let turn = Turn { connection, number, connections: 3 };
                counts[chooser.choose(turn, random::key(5, connection.into())) as usize] += 1;
            }
        }
        counts
    }

    #[test]
    fn requests_come_as_often_as_the_order_says() {
        let weights = [1, 20, 3, 0x7fff, 400, 16_000];
        let as_weighted = weights.map(f64::from);
        let (few, many) = (counts("weighted", &weights), [1.0; 6]);
        assert_eq!(few.iter().sum::<u64>(), 60_000);
        // The first three are too rare for the test, and are taken as one.
        let rare: u64 = few[..3].iter().sum();
        let tested = [rare, few[3], few[4], few[5]];
        let shares = [24.0, as_weighted[3], as_weighted[4], as_weighted[5]];
        chi_square::expect(&tested, &shares, "weighted");
        chi_square::expect(&counts("random", &weights), &many, "random");
        for exponent in [0.5, 1.0, 1.5] {
            let shares: Vec<f64> = (1..=6).map(|i| f64::from(i).powf(-exponent)).collect();
            let text = format!("zipf:{exponent}");
            chi_square::expect(&counts(&text, &weights), &shares, &text);
        }
    }

    #[test]
    fn a_sequence_is_one_of_all_connections_and_may_repeat_each() {
        let chosen = |repeats| -> Vec<u32> {
            let chooser = Chooser::new(Order::Sequential, 3, repeats, |_| 1);
            let turns = (0..4).flat_map(|number| {
                (0..2).map(move |connection| Turn { connection, number, connections: 2 })
            });
            turns.map(|turn| chooser.choose(turn, 0)).collect()
        };
        assert_eq!(chosen(1), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(chosen(2), [0, 0, 1, 1, 2, 2, 0, 0]);
    }

    #[test]
    fn an_order_is_printed_as_it_is_written() {
        for text in ["sequential", "timed", "random", "weighted", "zipf:0.99"] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        for (text, said) in [("uniform", "write sequential"), ("zipf:0", "'0' is no exponent")] {
            assert!(text.parse::<Order>().unwrap_err().contains(said), "{text}");
        }
    }
}
