//! How requests choose among the keys.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use crate::schedule::random;

/// Largest exponent: at this one, the first key has all but some thousandths of the requests.
const EXPONENT_MAX: f64 = 10.0;

/// The standard deviation of the normal distribution is this part of the number of keys. So the
/// keys at both ends lie three deviations from the middle; what lies beyond is drawn again.
const KEYS_PER_DEVIATION: f64 = 6.0;

/// How requests choose among the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum KeyDistribution {
    /// Every key equally often.
    #[default]
    Uniform,
    /// Key number `i`, from 1, as often as `i` to the power of minus this exponent.
    Zipf(f64),
    /// Most requests near the middle of the keys.
    Normal,
    /// All connections together take one key after the other.
    Sequential,
}

impl FromStr for KeyDistribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => return Ok(Self::Uniform),
            "normal" => return Ok(Self::Normal),
            "sequential" => return Ok(Self::Sequential),
            _ => {}
        }
        let Some(exponent) = text.strip_prefix("zipf:") else {
            return Err(format!(
                "'{text}' is no distribution of keys; write uniform, zipf:0.99, normal or \
                 sequential"
            ));
        };
        match exponent.parse::<f64>() {
            Ok(exponent) if exponent > 0.0 && exponent <= EXPONENT_MAX => Ok(Self::Zipf(exponent)),
            _ => Err(format!(
                "'{exponent}' is no exponent; write a number above 0, at most {EXPONENT_MAX}"
            )),
        }
    }
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => formatter.write_str("uniform"),
            Self::Zipf(exponent) => write!(formatter, "zipf:{exponent}"),
            Self::Normal => formatter.write_str("normal"),
            Self::Sequential => formatter.write_str("sequential"),
        }
    }
}

/// Chooses the key of each request.
#[derive(Debug)]
pub(in crate::wire) struct KeySampler {
    keys: u32,
    connections: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Uniform,
    Zipf(Zipf),
    Normal,
    Sequential,
}

impl KeySampler {
    /// Chooses among `keys` keys for `connections` connections.
    pub(in crate::wire) fn new(distribution: KeyDistribution, keys: u32, connections: u32) -> Self {
        let kind = match distribution {
            KeyDistribution::Uniform => Kind::Uniform,
            KeyDistribution::Zipf(exponent) => Kind::Zipf(Zipf::new(keys, exponent)),
            KeyDistribution::Normal => Kind::Normal,
            KeyDistribution::Sequential => Kind::Sequential,
        };
        Self { keys, connections, kind }
    }

    /// The key of request `k` of connection number `connection`, whose draws belong to `stream`.
    pub(in crate::wire) fn key(&self, stream: u64, connection: u32, k: u64) -> u32 {
        let mut draw = random::at(stream, k);
        match &self.kind {
            Kind::Uniform => below(self.keys, draw),
            Kind::Zipf(zipf) => zipf.draw(&mut draw) - 1,
            Kind::Normal => normal(self.keys, &mut draw),
            Kind::Sequential => {
                let turn = k.wrapping_mul(u64::from(self.connections));
                (turn.wrapping_add(u64::from(connection)) % u64::from(self.keys)) as u32
            }
        }
    }
}

/// A uniform choice from `0..keys` by a random number.
fn below(keys: u32, number: u64) -> u32 {
    ((u128::from(number) * u128::from(keys)) >> 64) as u32
}

/// A normal choice from `0..keys`, by Box and Muller's transform.
fn normal(keys: u32, state: &mut u64) -> u32 {
    let (middle, deviation) = (f64::from(keys) / 2.0, f64::from(keys) / KEYS_PER_DEVIATION);
    // One draw in 370 lies outside, so the loop ends soon.
    loop {
        let mut unit = || random::unit(random::split_mix(state));
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        let key = (middle + deviation * radius * (TAU * unit()).cos()).floor();
        if (0.0..f64::from(keys)).contains(&key) {
            return key as u32;
        }
    }
}

/// Zipf's distribution over `1..=n`, by rejection and inversion (Hörmann and Derflinger, 1996): for
/// any number of keys no table, and little more than one draw.
#[derive(Debug)]
struct Zipf {
    last: f64,
    exponent: f64,
    /// The integral of the density up to 1.5, less the first bar of the histogram.
    area_low: f64,
    /// The integral up to the right end of the last bar.
    area_high: f64,
    /// A number of the inversion that is so near below an integer needs no further test.
    near: f64,
}

impl Zipf {
    fn new(last: u32, exponent: f64) -> Self {
        let mut zipf =
            Self { last: f64::from(last), exponent, area_low: 0.0, area_high: 0.0, near: 0.0 };
        zipf.area_low = zipf.area(1.5) - 1.0;
        zipf.area_high = zipf.area(zipf.last + 0.5);
        zipf.near = 2.0 - zipf.inverse_area(zipf.area(2.5) - zipf.density(2.0));
        zipf
    }

    fn draw(&self, state: &mut u64) -> u32 {
        loop {
            let unit = random::unit(random::split_mix(state));
            let area = self.area_high + unit * (self.area_low - self.area_high);
            let place = self.inverse_area(area);
            let nearest = place.round().clamp(1.0, self.last);
            let is_accepted = nearest - place <= self.near
                || area >= self.area(nearest + 0.5) - self.density(nearest);
            if is_accepted {
                return nearest as u32;
            }
        }
    }

    fn density(&self, place: f64) -> f64 {
        (-self.exponent * place.ln()).exp()
    }

    /// The integral of the density from 1 to `place`.
    fn area(&self, place: f64) -> f64 {
        let log = place.ln();
        let power = (1.0 - self.exponent) * log;
        // Near an exponent of 1, the quotient loses all its digits.
        log * if power.abs() > 1e-8 { power.exp_m1() / power } else { 1.0 + power / 2.0 }
    }

    /// The place up to which the integral is `area`.
    fn inverse_area(&self, area: f64) -> f64 {
        let power = (area * (1.0 - self.exponent)).max(-1.0);
        let log = if power.abs() > 1e-8 { power.ln_1p() / power } else { 1.0 - power / 2.0 };
        (area * log).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chi_square;
    use super::*;

    const REQUESTS: u64 = 400_000;

    /// How often each key was chosen, by four connections together.
    fn drawn(text: &str, keys: u32) -> Vec<u64> {
        let sampler = KeySampler::new(text.parse().unwrap(), keys, 4);
        let mut counts = vec![0; keys as usize];
        for connection in 0..4 {
            let stream = random::key(3, u64::from(connection));
            for k in 0..REQUESTS / 4 {
                counts[sampler.key(stream, connection, k) as usize] += 1;
            }
        }
        counts
    }

    #[test]
    fn keys_come_as_often_as_uniform_and_zipf_say() {
        chi_square::expect(&drawn("uniform", 100), &[1.0; 100], "uniform");
        for exponent in [0.5, 0.99, 1.0, 1.3, 2.0] {
            let weights: Vec<f64> = (1..=100).map(|i| f64::from(i).powf(-exponent)).collect();
            let text = format!("zipf:{exponent}");
            chi_square::expect(&drawn(&text, 100), &weights, &text);
        }
    }

    #[test]
    fn keys_come_as_often_as_the_normal_distribution_says() {
        // The density in the middle of each key is good enough an integral.
        let weight = |key: u32| {
            let deviations = (f64::from(key) + 0.5 - 50.0) / (100.0 / KEYS_PER_DEVIATION);
            (-deviations * deviations / 2.0).exp()
        };
        let weights: Vec<f64> = (0..100).map(weight).collect();
        chi_square::expect(&drawn("normal", 100), &weights, "normal");
    }

    #[test]
    fn sequential_keys_are_taken_one_after_the_other_by_all_connections() {
        assert_eq!(drawn("sequential", 100), [REQUESTS / 100; 100]);
        let sampler = KeySampler::new(KeyDistribution::Sequential, 10, 3);
        let keys = (0..4).flat_map(|k| (0..3).map(move |connection| (connection, k)));
        let keys: Vec<u32> = keys.map(|(connection, k)| sampler.key(0, connection, k)).collect();
        assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    }

    #[test]
    fn one_key_and_very_many_keys_are_possible_with_each_distribution() {
        for text in ["uniform", "zipf:0.99", "zipf:1", "zipf:10", "normal", "sequential"] {
            for keys in [1, 2, u32::MAX] {
                let sampler = KeySampler::new(text.parse().unwrap(), keys, 2);
                assert!((0..10_000).all(|k| sampler.key(5, 1, k) < keys), "{text} {keys}");
            }
        }
    }

    #[test]
    fn the_first_keys_of_a_seed_never_change() {
        let first = |text: &str| {
            let sampler = KeySampler::new(text.parse().unwrap(), 1_000_000, 2);
            (0..4).map(|k| sampler.key(1, 0, k)).collect::<Vec<_>>()
        };
        assert_eq!(first("uniform"), [566_561, 745_781, 971_002, 444_359]);
        assert_eq!(first("zipf:0.99"), [6_296, 1_545, 105, 35_022]);
        assert_eq!(first("normal"), [649_779, 682_626, 283_021, 500_748]);
    }

    #[test]
    fn a_distribution_is_printed_as_it_is_written() {
        for text in ["uniform", "zipf:0.99", "normal", "sequential"] {
            assert_eq!(text.parse::<KeyDistribution>().unwrap().to_string(), text);
        }
        for (text, said) in [
            ("zipf", "write uniform, zipf:0.99"),
            ("zipf:0", "'0' is no exponent"),
            ("zipf:nan", "'nan' is no exponent"),
            ("zipf:11", "at most 10"),
            ("", "'' is no distribution"),
        ] {
            assert!(text.parse::<KeyDistribution>().unwrap_err().contains(said), "{text}");
        }
    }
}
