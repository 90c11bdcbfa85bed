//! The interface of services: handles, messages between shards, dialing, sending to other
//! connections, and timers, on real sockets.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod byte_rates;
mod clients;
mod dialing;
mod dialing_tls;
mod half_close;
mod handles;
mod life;
mod messages;
mod model;
mod probe;
mod sending;
mod timers;
