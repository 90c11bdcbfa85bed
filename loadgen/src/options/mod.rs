//! The plan of a measurement, requested and checked. `cli` checks the options once; the code below
//! it does not check them again.

mod churn;
mod pacing;
mod server;
pub(crate) mod target;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::churn::Churn;
pub(crate) use self::pacing::{Pacing, Pins};
pub(crate) use self::server::{ServerCommand, ServerSource};
pub(crate) use self::target::Target;
use crate::schedule::{Arrival, Mode, Rate, RateProfile};
use crate::slo::Slo;
use crate::wire::TrafficSpec;

/// What makes a connection send a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Load {
    /// A reply.
    Closed,
    /// The schedule.
    Open(OpenLoad),
}

impl Load {
    /// Which of the two it is.
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

/// Where the JSON record goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordSink {
    Stdout,
    File(PathBuf),
}

impl From<PathBuf> for RecordSink {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }
}

/// Where results go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OutputOptions {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) record: Option<RecordSink>,
    pub(crate) quiet: bool,
    pub(crate) progress: bool,
}

/// One measurement, requested and checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) target: Target,
    pub(crate) load: Load,
    pub(crate) traffic: TrafficSpec,
    pub(crate) connections: u32,
    /// Never more than there are connections.
    pub(crate) threads: u32,
    pub(crate) pipeline: u32,
    pub(crate) churn: Churn,
    /// Most new connections per second.
    pub(crate) connect_rate: Option<f64>,
    /// Addresses to connect from in turn; empty for the kernel's choice.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) interval: Duration,
    pub(crate) seed: u64,
    pub(crate) pacing: Pacing,
    pub(crate) pins: Option<Pins>,
    pub(crate) slo: Vec<Slo>,
    pub(crate) runs: u32,
    pub(crate) server: Option<ServerSource>,
    pub(crate) output: OutputOptions,
}

impl Options {
    /// The processors that the threads are bound to, thread by thread, if they are.
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
