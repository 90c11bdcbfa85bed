//! The server process: started for a run, watched while it lasts, stopped after it.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::record::ServerRecord;

/// A command line that starts a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerCommand(String);

impl FromStr for ServerCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ServerCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which process serves the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerSource {
    Command(ServerCommand),
    Pid(u32),
}

impl ServerSource {
    /// The command, if the server is started here.
    pub(crate) fn command(&self) -> Option<String> {
        match self {
            Self::Command(command) => Some(command.to_string()),
            Self::Pid(_) => None,
        }
    }
}

/// A server that is watched; one that was started here is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    _private: (),
}

impl Server {
    /// Starts the server and waits until the target accepts, or finds the running one.
    pub(crate) fn start(
        _source: &ServerSource,
        _options: &Options,
        _interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        Ok(Self { _private: () })
    }

    /// Takes the figures that the run's are counted from.
    pub(crate) fn begin(&mut self) {}

    /// Processor time of the process so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        None
    }

    /// Takes the figures since [`Self::begin`].
    pub(crate) fn record(&mut self, _completed: u64) -> ServerRecord {
        ServerRecord::default()
    }

    /// Stops a server that was started here, and waits for its end.
    pub(crate) fn stop(self) -> Result<(), Error> {
        Ok(())
    }
}
