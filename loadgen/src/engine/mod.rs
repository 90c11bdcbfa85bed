//! One run against a server: threads, connections, and what they have seen.

pub(crate) mod limits;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::Latencies;
use crate::measure::Observer;
use crate::options::Options;
use crate::record::RunRecord;
use crate::server::Server;

/// What a run has found out.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) record: RunRecord,
    pub(crate) latencies: Latencies,
}

/// Loads the server as planned and returns what came of it. The verdict is not yet in the record.
pub(crate) fn run(
    _options: &Options,
    _interrupt: &Interrupt,
    _number: u32,
    _server: Option<&mut Server>,
    _observer: &mut dyn Observer,
) -> Result<RunOutcome, Error> {
    todo!("the engine")
}
