//! A shard: a worker thread, its connections, and how it drains.
//!
//! `worker.rs` holds the state of a shard and runs its thread. A worker owns a connection from its
//! adoption (`adopt.rs`) over its TLS handshake (`tls/`) and its I/O (`connection_io.rs`) to its
//! close (`connection_mut.rs`).

pub(super) mod adopt;
mod ages;
pub(super) mod byte_rates;
mod close_reason;
mod connection;
mod connection_io;
mod connection_mut;
mod deadlines;
pub(super) mod drain;
mod drain_spread;
mod free_memory;
mod proxy_header;
mod service_calls;
mod source_slots;
#[cfg(all(test, not(loom)))]
mod test_worker;
mod timings;
mod tls;
pub(super) mod worker;
