//! One run against a server: threads, connections, and what they measure.
//!
//! ```text
//! threads          starts the threads, gives the starting signal, collects the results
//!  └ worker        one thread: serves its connections when they are due or ready
//!     └ connection   its due requests, its traffic (wire::Exchange) and its stream
//! send_queue       the time at which each connection is served next
//! recorder ─▶ reporter ─▶ collector ─▶ Observer   the measurements, interval by interval
//! stalls           when the thread itself stood still
//! network          clock, streams, readiness: `sockets` in a run, a simulation in tests
//! address          where the server listens
//! preload          writes every key before the load
//! ```

mod address;
mod collector;
mod connection;
mod dialer;
mod due_requests;
pub(crate) mod limits;
mod network;
mod pacing;
mod plan;
mod poller;
mod preload;
mod progress;
mod recorder;
mod reporter;
mod send_queue;
mod sockets;
mod stalls;
mod threads;
mod usage;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use self::collector::{Interval, Observer};
pub(crate) use self::pacing::choose as choose_pacing;
pub(crate) use self::threads::{RunOutcome, run};
