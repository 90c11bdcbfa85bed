//! Reports of runs while they last.

use crate::error::Error;
use crate::latency::Latencies;
use crate::record::IntervalRecord;

/// Receives runs and their intervals while they last. What it writes then survives a later failure.
pub(crate) trait Observer {
    /// Run number `number` (from 1) has opened its connections and starts at `started_unix_s`.
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error>;

    /// An interval has passed: what was measured in it. All intervals together are the run.
    fn interval(&mut self, interval: &IntervalRecord, latencies: &Latencies) -> Result<(), Error>;
}

/// Discards everything.
impl Observer for () {
    fn run_begins(&mut self, _number: u32, _started_unix_s: f64) -> Result<(), Error> {
        Ok(())
    }

    fn interval(&mut self, _: &IntervalRecord, _: &Latencies) -> Result<(), Error> {
        Ok(())
    }
}
