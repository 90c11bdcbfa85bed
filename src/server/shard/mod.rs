//! A shard: a worker thread, its connections, and how it drains.
//!
//! `worker.rs` runs the thread of a shard, whose state is in `shard_state.rs`. A worker owns a
//! connection from its adoption (`adopt.rs`) over its TLS handshake (`tls/`) and its I/O
//! (`connection_io.rs`, `sending.rs`) to its close (`connection_mut.rs`). `call.rs` calls the
//! service, which may then do what `shard_mut.rs` offers.

pub(super) mod adopt;
mod after_callbacks;
mod ages;
pub(super) mod byte_rates;
pub(super) mod call;
pub(super) mod close_reason;
pub(super) mod connection_id;
mod connection_io;
mod connection_mut;
mod connection_state;
mod deadlines;
pub(super) mod dialing;
pub(super) mod drain;
mod drain_spread;
pub(super) mod end_together;
mod free_memory;
pub(super) mod handles;
mod hang_up;
mod output;
mod proxy_header;
mod sending;
pub(super) mod service_timers;
pub(super) mod shard_mut;
mod shard_numbers;
mod shard_state;
mod source_slots;
#[cfg(all(test, not(loom)))]
mod test_worker;
mod timings;
mod tls;
pub(super) mod worker;
