//! The plan of a measurement. `cli` checks the options once; no other code checks them again.

mod agents;
mod server;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use self::agents::{
    AgentNames, AgentSource, Agents, CoordinatorAddress, DialInAgents, DialOut, SshAgents,
};
pub(crate) use self::server::{MetricsAddress, ServerCommand, ServerSource};
use crate::destination::Destination;
use crate::schedule::{Arrival, Mode, Rate, RateProfile};
use crate::slo::Slo;
use crate::tls::TlsClient;
use crate::units;
use crate::wire::TrafficSpec;

/// The event that makes a connection send a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Load {
    /// A reply.
    Closed,
    /// The schedule.
    Open(OpenLoad),
}

impl Load {
    /// Whether the loop is open or closed.
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Closed => Mode::Closed,
            Self::Open(_) => Mode::Open,
        }
    }

    /// The schedule, if there is one.
    pub(crate) fn open(&self) -> Option<&OpenLoad> {
        match self {
            Self::Closed => None,
            Self::Open(open) => Some(open),
        }
    }
}

/// An open loop: requests follow a schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenLoad {
    pub(crate) profile: RateProfile,
    pub(crate) arrival: Arrival,
}

/// The outputs of a measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OutputOptions {
    pub(crate) directory: Option<PathBuf>,
    /// Whether results that the directory already contains may be replaced.
    pub(crate) force: bool,
    pub(crate) record: Option<Destination>,
    /// Where the intervals go while the run lasts.
    pub(crate) stream: Option<Destination>,
    pub(crate) metrics: Option<MetricsOptions>,
    pub(crate) quiet: bool,
    pub(crate) progress: bool,
    /// Where a sweep or a search is, for the live line: "3/40 size=64". Empty for a single run.
    pub(crate) position: String,
}

/// The endpoint of `--metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricsOptions {
    /// Where it listens, as given: `HOST:PORT`.
    pub(crate) address: String,
    /// How long it answers after the end of the measurement.
    pub(crate) linger: Duration,
}

/// One measurement, requested and checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) target: Target,
    pub(crate) load: Load,
    pub(crate) traffic: TrafficSpec,
    /// TLS; nothing in plain text.
    pub(crate) tls: Option<TlsClient>,
    pub(crate) connections: u32,
    /// Threads of each process, at most one per connection.
    pub(crate) threads: u32,
    pub(crate) pipeline: u32,
    pub(crate) churn: Churn,
    /// Maximum number of new connections per second.
    pub(crate) connect_rate: Option<f64>,
    /// Source addresses, used in turn. If there are none, the kernel chooses.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) interval: Duration,
    /// Seed of the first run.
    pub(crate) seed: u64,
    pub(crate) pacing: Pacing,
    pub(crate) pins: Option<Pins>,
    /// A calibration, instead of the one in the user's cache.
    pub(crate) calibration: Option<PathBuf>,
    pub(crate) slo: Vec<Slo>,
    pub(crate) runs: u32,
    pub(crate) server: Option<ServerSource>,
    /// Where the server's own metrics are.
    pub(crate) server_metrics: Option<MetricsAddress>,
    pub(crate) output: OutputOptions,
    /// The agents that load the server; nothing if this process does.
    pub(crate) agents: Option<Agents>,
}

impl Options {
    /// The seed of a run, which is numbered from 1. Runs of one seed would be one schedule,
    /// repeated: they would show how the server varies, but not how the schedules do.
    pub(crate) fn seed_of_run(&self, number: u32) -> u64 {
        self.seed.wrapping_add(u64::from(number.saturating_sub(1)))
    }

    /// How long a run takes if nothing is left to wait for at its end.
    pub(crate) fn length(&self) -> Duration {
        self.warmup.saturating_add(self.duration)
    }

    /// The processor of each thread, if the threads are bound to processors.
    pub(crate) fn pinned(&self) -> Option<impl Iterator<Item = usize>> {
        let pins = self.pins.as_ref()?;
        Some((0..self.threads as usize).map(|thread| pins.of(thread)))
    }

    /// The same measurement at a flat rate, or, without one, in a closed loop.
    pub(crate) fn at_rate(&self, rate: Option<Rate>) -> Self {
        let arrival = self.load.open().map_or(Arrival::default(), |open| open.arrival);
        let load = match rate {
            None => Load::Closed,
            Some(rate) => Load::Open(OpenLoad { profile: RateProfile::Flat(rate), arrival }),
        };
        Self { load, ..self.clone() }
    }
}

/// Where the server listens, not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `HOST:PORT` with brackets around an IPv6 address.
    Tcp(String),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(text) => formatter.write_str(text),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// How a thread waits until a request is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// Hybrid where the loader has processors of its own, otherwise sleep.
    #[default]
    Auto,
    /// In the kernel, with a timer in nanoseconds. The wake-up itself makes the thread late.
    Sleep,
    /// In the kernel until shortly before the time, then by spinning.
    Hybrid,
    /// By spinning alone: the thread uses its processor all the time.
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

    /// All of them, as listed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
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

/// How long a connection lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Churn {
    /// As long as the run.
    #[default]
    None,
    /// This many requests.
    Requests(u64),
    /// This long, and then until every request is answered.
    Lifetime(Duration),
    /// One request, whose times include the connect.
    EachRequest,
}

impl Churn {
    /// The text for the record; nothing if connections live as long as the run.
    pub(crate) fn describe(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Requests(requests) => {
                Some(format!("after {}", units::counted(*requests, "request")))
            }
            Self::Lifetime(lifetime) => {
                Some(format!("after {}", humantime::format_duration(*lifetime)))
            }
            Self::EachRequest => Some("connect per request".to_owned()),
        }
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
