//! The interface of services: handles, messages between shards, dialing, sending to other
//! connections, and timers, on real sockets.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of a connection or shard is not general over its lifetime"
)]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod byte_rates;
mod clients;
mod crowd;
mod dialing;
mod dialing_tls;
mod half_close;
mod handles;
mod life;
mod messages;
mod model;
mod pausing;
mod probe;
mod sending;
mod timers;
mod until_answered;
mod upgrade;
