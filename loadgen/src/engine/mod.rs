//! One run against a server: threads, connections, and what they have seen.
//!
//! ```text
//! threads    starts the threads, gives the starting signal, collects what they find
//!  └ worker  one thread: looks at its connections when they are due or ready
//!     └ connection   one connection's schedule (due), traffic (wire::Exchange) and stream
//! recorder ─▶ reporter ─▶ collector ─▶ observer   what was seen, interval by interval
//! network    clock, streams, readiness: sockets in a run, a simulation in tests
//! ```

mod collector;
mod connection;
mod dialer;
mod gaps;
pub(crate) mod limits;
mod network;
mod observer;
mod pacing;
mod plan;
mod poller;
mod progress;
mod recorder;
mod reporter;
mod send_queue;
mod send_schedule;
mod sockets;
pub(crate) mod target;
mod threads;
mod usage;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use self::observer::Observer;
pub(crate) use self::pacing::choose as choose_pacing;
pub(crate) use self::threads::{RunOutcome, run};
