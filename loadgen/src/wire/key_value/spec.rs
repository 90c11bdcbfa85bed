//! The options of requests with keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::super::order::Order;
use super::command_file::CommandFile;
use super::distribution::KeyDistribution;
use super::mix::Mix;

/// Most keys: the versions of so many take 16 GiB.
const KEYS_MAX: f64 = (1_u32 << 30) as f64;

/// Longest prefix. memcached's keys have at most 250 bytes.
const PREFIX_BYTES_MAX: usize = 200;

/// The options of requests with keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyValueSpec {
    pub(crate) keys: KeyCount,
    pub(crate) prefix: KeyPrefix,
    pub(crate) distribution: KeyDistribution,
    pub(crate) commands: Commands,
    /// Whether every key is written before the load.
    pub(crate) preload: bool,
    /// The connections of the run, which take sequential keys and commands in turn.
    pub(crate) connections: u32,
}

impl KeyValueSpec {
    /// The names of the commands, by their number.
    pub(crate) fn command_names(&self) -> impl Iterator<Item = String> {
        let names: Vec<String> = match &self.commands {
            Commands::Mix(mix) => mix.iter().map(|(verb, _)| verb.name().to_owned()).collect(),
            Commands::File { file, .. } => file.names().to_vec(),
        };
        names.into_iter()
    }

    /// When each request is due, in nanoseconds from the start of the run, if they have times.
    pub(crate) fn times_ns(&self) -> Option<impl Iterator<Item = u64>> {
        match &self.commands {
            Commands::File { file, order: Order::Timed } => {
                Some(file.lines().filter_map(|line| line.at_ns))
            }
            _ => None,
        }
    }
}

/// The commands of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Commands {
    /// Reads and writes that loadgen makes by itself, and verifies.
    Mix(Mix),
    /// Those of a file, of whose replies loadgen knows errors, and which reads found a value.
    File { file: Arc<CommandFile>, order: Order },
}

/// A number of keys: 1000, 100k, 1M.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyCount(u32);

impl KeyCount {
    /// How many.
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl Default for KeyCount {
    fn default() -> Self {
        Self(100_000)
    }
}

impl FromStr for KeyCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'm' | 'M')) => (&text[..at], 1e6),
            Some((at, 'g' | 'G')) => (&text[..at], 1e9),
            _ => (text, 1.0),
        };
        match digits.parse::<f64>().map(|count| count * factor) {
            Ok(count) if count.fract() == 0.0 && (1.0..=KEYS_MAX).contains(&count) => {
                Ok(Self(count as u32))
            }
            Ok(_) => Err(format!("'{text}': from 1 to {KEYS_MAX} keys, a whole number")),
            Err(_) => Err(format!("'{text}' is no number of keys; write 1000, 100k or 1M")),
        }
    }
}

impl fmt::Display for KeyCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            keys if keys.is_multiple_of(1_000_000) => write!(formatter, "{}M", keys / 1_000_000),
            keys if keys.is_multiple_of(1_000) => write!(formatter, "{}k", keys / 1_000),
            keys => keys.fmt(formatter),
        }
    }
}

/// What every key begins with. Twelve digits follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPrefix(String);

impl KeyPrefix {
    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("lg:".to_owned())
    }
}

impl FromStr for KeyPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // memcached's keys end at a blank, and none may have a control character.
        if text.len() > PREFIX_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "'{text}' begins no key; write at most {PREFIX_BYTES_MAX} printable ASCII \
                 characters, and no blank"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_keys_has_human_units() {
        for (text, keys, printed) in [
            ("1", 1, "1"),
            ("1500", 1_500, "1500"),
            ("100k", 100_000, "100k"),
            ("1.5M", 1_500_000, "1500k"),
            ("1M", 1_000_000, "1M"),
            ("1G", 1_000_000_000, "1000M"),
        ] {
            let count: KeyCount = text.parse().unwrap();
            assert_eq!((count.get(), count.to_string().as_str()), (keys, printed));
        }
        for wrong in ["", "0", "-1", "k", "1.5", "2G", "nan", "inf", "1 key"] {
            assert!(wrong.parse::<KeyCount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_what_memcached_allows_in_a_key() {
        assert_eq!("user:".parse::<KeyPrefix>().unwrap().to_string(), "user:");
        assert!("".parse::<KeyPrefix>().is_ok());
        for wrong in ["a b", "a\n", "ä", &"x".repeat(201)] {
            assert!(wrong.parse::<KeyPrefix>().unwrap_err().contains("begins no key"), "{wrong}");
        }
    }
}
