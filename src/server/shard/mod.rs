//! A shard: a worker thread, its connections, and how it drains.

mod close;
mod connection;
mod connection_io;
mod deadlines;
pub(super) mod drain;
mod drain_spread;
mod proxy_header;
#[cfg(all(test, not(loom)))]
mod rig;
mod snapshot;
mod timings;
pub(super) mod worker;
