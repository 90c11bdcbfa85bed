//! One run against a server: threads, connections, and what they measure.
//!
//! ```text
//! run              a run in this process, or an agent's part of one
//! outcome          the result of a run
//! threads          starts the threads, gives the starting signal, passes on what they report
//!  └ worker        one thread: serves its connections when they are due or ready
//!     └ connection   its due requests, its traffic (wire::Exchange) and its stream
//! send_queue       the time at which each connection is served next
//! recorder ─▶ reporter ─▶ collector ─▶ Observer   the measurements, interval by interval
//! stalls           when the thread itself stood still
//! network          clock, streams, readiness: `sockets` in a run, a simulation in tests
//! address          where the server listens
//! preload          writes every key before the load
//! lost_share       the account of a thread that was lost with its machine
//! ```

mod address;
mod collector;
mod connection;
mod dialer;
mod due_requests;
pub(crate) mod limits;
mod lost_share;
mod network;
mod outcome;
mod pacing;
mod plan;
mod poller;
mod preload;
mod progress;
mod recorder;
mod reporter;
mod run;
mod send_queue;
mod sockets;
mod stalls;
mod threads;
mod usage;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use self::collector::{Collector, Interval, Observer};
pub(crate) use self::lost_share::{LastReport, account};
pub(crate) use self::outcome::{RunOutcome, ThreadResults, conclude};
pub(crate) use self::pacing::choose as choose_pacing;
pub(crate) use self::plan::{Part, Plan};
pub(crate) use self::progress::{Progress, SharedProgress};
pub(crate) use self::recorder::Recorded;
pub(crate) use self::reporter::IntervalReport;
pub(crate) use self::run::{Coordinator, run, run_part, unix_s};
pub(crate) use self::threads::PROGRESS_INTERVAL;
pub(crate) use self::worker::Finished;
