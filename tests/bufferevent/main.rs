//! Bufferevents, through the public interface.

mod app;
#[path = "../common/mod.rs"]
mod common;
mod connect;
mod defects;
mod filter;
mod listener;
mod model;
mod pair;
mod rate_limit;
mod ratelim;
mod socket;
