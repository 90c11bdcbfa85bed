//! How the loader waits for the next request's time, and on which processors.

use std::fmt;
use std::str::FromStr;

/// How a thread waits until a request is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// Hybrid where the loader has processors of its own, otherwise sleep.
    #[default]
    Auto,
    /// In the kernel, to the nanosecond; the wake-up itself makes it late.
    Sleep,
    /// In the kernel until shortly before, then by spinning.
    Hybrid,
    /// Never in the kernel: the thread uses its processor all the time.
    Spin,
}

impl FromStr for Pacing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "sleep" => Ok(Self::Sleep),
            "hybrid" => Ok(Self::Hybrid),
            "spin" => Ok(Self::Spin),
            _ => Err(format!("'{text}' is no pacing; write auto, sleep, hybrid or spin")),
        }
    }
}

impl fmt::Display for Pacing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Auto => "auto",
            Self::Sleep => "sleep",
            Self::Hybrid => "hybrid",
            Self::Spin => "spin",
        })
    }
}

/// Processors for the threads in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pins(Vec<usize>);

impl Pins {
    /// The processor of a thread.
    pub(crate) fn of(&self, thread: usize) -> usize {
        self.0[thread % self.0.len()]
    }
}

impl FromStr for Pins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| word.trim().parse::<usize>().ok().filter(|&cpu| cpu < 1_024);
        let mut cpus = Vec::new();
        for word in text.split(',') {
            let range = match word.split_once('-') {
                Some((first, last)) => number(first).zip(number(last)),
                None => number(word).map(|cpu| (cpu, cpu)),
            };
            match range {
                Some((first, last)) if first <= last => cpus.extend(first..=last),
                _ => return Err(format!("'{word}' is no processor; write 1,3 or 2-5")),
            }
        }
        Ok(Self(cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_the_listed_processors_in_turn() {
        let pins: Pins = "1,4-6".parse().unwrap();
        let cpus: Vec<usize> = (0..6).map(|thread| pins.of(thread)).collect();
        assert_eq!(cpus, [1, 4, 5, 6, 1, 4]);
        for wrong in ["", "a", "3-1", "1,,2", "99999"] {
            assert!(wrong.parse::<Pins>().is_err(), "{wrong}");
        }
    }
}
