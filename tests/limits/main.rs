//! The limits of a server that clients reach, in every accept mode, with many client addresses.

#[path = "../common/mod.rs"]
mod common;

mod accept_rate;
mod age;
mod byte_rate;
mod clients;
mod per_source;
