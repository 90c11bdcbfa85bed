//! The directory that holds everything about a measurement.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::latency::Latencies;
use crate::measure::{Measurement, Observer};
use crate::record::IntervalRecord;

/// An opened result directory.
#[derive(Debug)]
pub(crate) struct ResultFolder {
    path: PathBuf,
}

impl ResultFolder {
    /// Makes the directory if need be.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned() })
    }

    /// Writes what can only be written at the end.
    pub(crate) fn finish(&mut self, _measurement: &Measurement) -> Result<(), Error> {
        Ok(())
    }
}

impl Observer for ResultFolder {
    fn run_begins(&mut self, _number: u32, _started_unix_s: f64) -> Result<(), Error> {
        Ok(())
    }

    fn interval(&mut self, _: &IntervalRecord, _: &Latencies) -> Result<(), Error> {
        Ok(())
    }
}
